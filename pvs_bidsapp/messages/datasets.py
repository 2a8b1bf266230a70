"""Messages about datasets: folders, names of files, the choice of scans, and files that cannot be opened."""

from __future__ import annotations

from ..errors import ImageError, InputError
from .message import Caution, Refusal

# ---- the dataset, and the choice of scans

NO_SUBJECT_FOLDERS = Refusal(
    code='dataset-no-subject-folders',
    text='no sub-* folder in it',
    mend='give the root of a BIDS dataset',
    kind=InputError,
)
ROOT_NAME = Refusal(
    code='dataset-root-name',
    text='the path of the dataset holds bytes that are no UTF-8',
    mend='rename the folder, or give a link to it',
    kind=InputError,
)
DESCRIPTION = Refusal(
    code='dataset-description',
    text='cannot be used ({reason})',
    mend='give it the content that BIDS asks for, a JSON object, or remove it',
    kind=InputError,
)
NO_SUBJECT = Refusal(
    code='dataset-no-subject',
    text='no subject {labels} in it',
    mend='there are: {present}',
    kind=InputError,
)
NO_SESSION = Refusal(
    code='dataset-no-session',
    text='no session {labels} in it{asked}: no scan found there',
    mend='there are: {present}',
    kind=InputError,
)
NO_SCAN = Refusal(
    code='dataset-no-scan',
    text='no {suffix} found{asked}',
    mend='a {suffix} is a file sub-*/[ses-*/]anat/sub-*_{suffix}.nii[.gz]',
    kind=InputError,
)
ONLY_T2W = Refusal(
    code='dataset-only-t2w',
    text='no T1w found{asked}, but T2w scans',
    mend='for T2w scans alone: --modality T2w',
    kind=InputError,
)
NONE_USABLE = Refusal(
    code='dataset-none-usable',
    text='none of the {count} scans in it can be used',
    mend='mend the files that the messages above name',
    kind=InputError,
)
NO_DERIVATIVES = Refusal(
    code='dataset-no-derivatives',
    text='no such folder',
    mend='give NAME=PATH, the folder of a derivative dataset',
    kind=InputError,
)
NO_SCAN_OF_SUBJECT = Caution(
    code='dataset-subject-without-scan',
    text='no {suffix}, nothing to do',
    mend='add a {suffix}, or leave the subject as it is',
)
FOLDER_UNREADABLE = Refusal(
    code='dataset-folder-unreadable',
    text='its content cannot be listed ({reason})',
    mend='mend the link, or let the user of this program read the folder (chmod a+rX)',
    kind=ImageError,
)
ODD_FOLDER = Caution(
    code='dataset-odd-folder',
    text='no folder of a subject or session by its name, skipped',
    mend='a label has letters, digits and + only: sub-LABEL, ses-LABEL',
)
MISPLACED = Caution(
    code='dataset-misplaced-file',
    text='a T1w or T2w outside of a folder anat, skipped',
    mend='move it to sub-LABEL/[ses-LABEL/]anat',
)
HIDDEN = Caution(
    code='dataset-hidden-files',
    text='{count} hidden files (such as ._NAME, which macOS makes) skipped',
    mend='delete them if you like (dot_clean, find -name "._*" -delete)',
)

# ---- names

ENTITY = Refusal(
    code='dataset-name-entity',
    text='{part!r} is not a BIDS entity',
    mend='a name consists of KEY-LABEL with letters, digits and +, joined by _, as sub-01_acq-a_T1w.nii.gz',
    kind=InputError,
)
ENTITY_TWICE = Refusal(
    code='dataset-name-entity-twice',
    text='the entity {key} stands in the name twice',
    mend='keep one of them',
    kind=InputError,
)
NO_SUB_ENTITY = Refusal(
    code='dataset-name-without-sub',
    text='not a BIDS file name',
    mend='it begins with sub-LABEL',
    kind=InputError,
)
SUFFIX = Refusal(
    code='dataset-name-suffix',
    text='its name does not end as that of a T1w or T2w in NIfTI',
    mend='such names end in _T1w.nii.gz, _T1w.nii, _T2w.nii.gz or _T2w.nii',
    kind=InputError,
)
MALFORMED = Caution(
    code='dataset-malformed-name',
    text='skipped, its name is not BIDS: {reason}',
    mend='rename it as sub-LABEL[_ses-LABEL][_KEY-LABEL]_T1w.nii.gz, or T2w',
)
NOT_MAGNITUDE = Caution(
    code='dataset-not-magnitude',
    text='not a magnitude image, left out',
    mend='only images without part- or with part-mag are used',
)
NAME_LACKS_SESSION = Refusal(
    code='dataset-name-lacks-session',
    text='its name has no {session}, its folder: scans of several sessions would have the same outputs',
    mend='rename it to {name}',
    kind=ImageError,
)
NO_SESSION_FOLDER = Refusal(
    code='dataset-no-session-folder',
    text='its name has {session}, but it lies in no folder of that session',
    mend='move it to {folder}',
    kind=ImageError,
)
OTHER_FOLDER = Refusal(
    code='dataset-other-folder',
    text='by its name it is of {named}, but it lies in the folder of {folder}',
    mend='rename or move it',
    kind=ImageError,
)
SAME_OUTPUTS = Refusal(
    code='dataset-same-outputs',
    text='its outputs would have the same names as those of {other}',
    mend='keep one of the two files, rename one (acq-, run-), or choose one with --bids-filter-file',
    kind=ImageError,
)
LONG_NAME = Refusal(
    code='dataset-long-name',
    text='its name has {size} bytes without suffix, more than {limit}: names of outputs would be too long',
    mend='shorten its labels',
    kind=ImageError,
)

# ---- files

NOT_FETCHED = Refusal(
    code='dataset-not-fetched',
    text='its content is not here (git-annex)',
    mend='fetch it, in the folder of its dataset: datalad get {path} (or: git annex get {path})',
    kind=ImageError,
)
NOT_PULLED = Refusal(
    code='dataset-not-pulled',
    text='its content is not here (Git LFS)',
    mend='fetch it: git lfs pull --include "{path}"',
    kind=ImageError,
)
DANGLING = Refusal(
    code='dataset-dangling-link',
    text='a link that leads nowhere',
    mend='mount or copy what it should lead to; in a container, bind that folder, too',
    kind=ImageError,
)
NOT_A_FILE = Refusal(
    code='dataset-not-a-file',
    text='not a file, but {what}',
    mend='put the image itself there',
    kind=ImageError,
)
UNREADABLE = Refusal(
    code='dataset-unreadable',
    text='cannot be read ({reason})',
    mend='let the user of this program read it (chmod a+r)',
    kind=ImageError,
)
EMPTY_FILE = Refusal(
    code='dataset-empty-file',
    text='an empty file (0 bytes)',
    mend='copy or convert it again',
    kind=ImageError,
)
VANISHED = Refusal(
    code='dataset-vanished',
    text='is not there (any more)',
    mend='put it back, and run again',
    kind=ImageError,
)
NO_T2W = Refusal(
    code='dataset-no-t2w',
    text='no T2w of the same session that can be used, but one is needed (--model, --modality)',
    mend='add a T2w (pvs predict: --t2w), choose a model of T1w alone, or leave the scan out',
    kind=ImageError,
)
NO_LESIONS = Refusal(
    code='dataset-no-lesions',
    text='no mask of its white matter hyperintensities (label-WMH_mask), which --exclude-wmh needs',
    mend='give the derivative dataset that holds it (-d NAME=PATH), or leave --exclude-wmh out',
    kind=ImageError,
)
T2W_LEFT_OUT = Caution(
    code='dataset-t2w-left-out',
    text='this T2w is not used: {reason}',
    mend='the T1w of its session is worked on without it',
)
READY_MADE = Refusal(
    code='dataset-ready-made',
    text='the ready-made {ready} cannot be used: {reason}',
    mend='mend it, or leave its dataset out of --derivatives',
    kind=ImageError,
)

# ---- --bids-filter-file

FILTER_UNREADABLE = Refusal(
    code='dataset-filter-unreadable',
    text='cannot be read as JSON ({reason})',
    mend='give a small text file in JSON; pvs --help shows an example',
    kind=InputError,
)
FILTER_FORMAT = Refusal(
    code='dataset-filter-format',
    text='not of the format of a filter: {what}',
    mend='give t1w and t2w with entities, whose values are texts, whole numbers, null, or lists of them',
    kind=InputError,
)
FILTER_ENTITY = Refusal(
    code='dataset-filter-entity',
    text='unknown entities {names}',
    mend='the known ones are: {known}',
    kind=InputError,
)
FILTER_UNUSED = Caution(
    code='dataset-filter-unused',
    text='entries not used here: {names}',
    mend='only t1w and t2w are used',
)

# ---- pvs predict

NO_FILE = Refusal(
    code='dataset-no-file',
    text='no such file',
    mend='give the path of a scan, or of a folder of scans',
    kind=InputError,
)
ONE_IMAGE = Refusal(
    code='dataset-one-image',
    text='{count} NIfTI images in it; the command takes one',
    mend='give a folder with a single .nii or .nii.gz',
)
NO_IMAGES = Refusal(
    code='dataset-no-images',
    text='no *.nii, *.nii.gz, *.mgz or *.mgh in it{instead}',
    mend='{mend}',
    kind=InputError,
)
NOT_AN_IMAGE = Refusal(
    code='dataset-not-an-image',
    text='neither NIfTI (.nii, .nii.gz) nor MGH (.mgz, .mgh) by its name',
    mend='convert it: dcm2niix for DICOM, mri_convert or nib-convert for others',
    kind=InputError,
)
T2W_OF_ONE = Refusal(
    code='dataset-t2w-of-one',
    text='goes with one T1w, not with a folder',
    mend='call pvs predict for each pair, or arrange the scans as a BIDS dataset',
    kind=InputError,
)
T2W_IS_T1W = Refusal(
    code='dataset-t2w-is-t1w',
    text='the same file as the T1w',
    mend='give the T2w of the session, or none',
    kind=InputError,
)
SAME_LABEL = Refusal(
    code='dataset-same-label',
    text='it would become sub-{label}, as would {other}',
    mend='rename one of the two files',
    kind=ImageError,
)
OTHER_SOURCE = Refusal(
    code='dataset-other-source',
    text='OUT_DIR holds results for sub-{label} that come from {source}',
    mend='give another OUT_DIR, or rename the file, so that nothing is overwritten',
    kind=ImageError,
)
NOT_THE_SUFFIX = Caution(
    code='dataset-not-the-suffix',
    text='no {suffix} by its name, skipped',
    mend='give its path itself if it is one',
)
INDEX_OUTDATED = Caution(
    code='dataset-index-outdated',
    text='the pybids index in it is damaged, or not of the dataset as it is now',
    mend='it is made anew; nothing is to be done',
)
