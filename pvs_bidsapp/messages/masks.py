"""Messages about masks and label maps: their values, where they lie, and which scan they belong to."""

from __future__ import annotations

from ..errors import ImageError, InputError
from .message import Caution, Refusal

# ---- values

NEGATIVE = Refusal(
    code='mask-negative',
    text='its values go down to {low:.4g}',
    mend='a mask is 0 in the background and 1 inside: cut it at the level that you mean, and save 0 and 1',
    kind=ImageError,
)
LABELS = Refusal(
    code='mask-labels',
    text='holds {count} labels, not one mask: {labels}',
    mend='set the labels that mean what is marked to 1 and all others to 0, and save that '
    '(label 1 alone: fslmaths IN -thr 1 -uthr 1 -bin OUT)',
    kind=ImageError,
)
LEVELS = Refusal(
    code='mask-levels',
    text='holds {count} different values, up to {high:.4g}',
    mend='a soft mask goes from 0 to 1: divide it by the value that means "certain", or cut it at the level '
    'that you mean; of numbered spots, save 0 and 1',
    kind=ImageError,
)
BELOW_HALF = Refusal(
    code='mask-below-half',
    text='is a soft mask whose largest value is {high:.3g}: cut at 0.5, nothing would be left',
    mend='cut it at the level that you mean, and save 0 and 1',
    kind=ImageError,
)
NO_BACKGROUND = Refusal(
    code='mask-no-background',
    text='marks {percent:.0f} % of the image',
    mend='a mask is 0 in the background and 1 inside: is it inverted, or no mask?',
    kind=ImageError,
)
MANY_NAN = Refusal(
    code='mask-many-nan',
    text='{count} of its voxels are NaN or infinite, {percent:.1f} %',
    mend='save it again with 0 in the background',
    kind=ImageError,
)
NAN_AS_ZERO = Caution(
    code='mask-nan',
    text='{count} of its voxels are NaN or infinite',
    mend='they count as background; save it again with 0 there',
)
SOFT = Caution(
    code='mask-soft',
    text='is a soft mask with values between 0 and 1',
    mend='voxels above 0.5 count as marked; nothing to do if that is what you mean',
)
NOT_LABELS = Refusal(
    code='mask-not-labels',
    text='holds values that are no labels, such as {value:.4g}',
    mend='a label map holds whole numbers from 0 up; resample label maps by the nearest voxel',
    kind=ImageError,
)
NOT_TISSUES = Refusal(
    code='mask-not-tissues',
    text='holds the label {value}',
    mend='tissue classes are 1 CSF, 2 grey matter, 3 white matter: convert it, or remove it',
    kind=ImageError,
)
OTHER_REGIONS = Refusal(
    code='mask-other-regions',
    text='the region map beside it is not one of this version ({difference})',
    mend='run participant on its scan again with this version, or remove map and table: '
    'then there are no scores by region',
    kind=ImageError,
)
NOT_PROBABILITIES = Refusal(
    code='mask-not-probabilities',
    text='holds values from {low:.4g} to {high:.4g}',
    mend='probabilities go from 0 to 1: write it again, or remove it',
    kind=ImageError,
)

# ---- where it lies

NO_PLACE = Refusal(
    code='mask-no-place',
    text='its place is not known: {which} has no orientation (both form codes are 0), and its voxels '
    '({own}) are not those of {other} ({others})',
    mend='save it again on the grid of that image, or set qform or sform',
    kind=ImageError,
)
PLACED = Caution(
    code='mask-placed',
    text='{which} has no orientation (both form codes are 0)',
    mend='it is laid on {other} voxel by voxel, as both have the same shape; check the sides',
)
RESAMPLED = Caution(
    code='mask-resampled',
    text='is on another grid than {other} and was resampled to it',
    mend='nothing to do if both show the same head; volumes may differ a little',
)
OUTSIDE = Caution(
    code='mask-outside',
    text='{percent:.0f} % of its volume is not measured: outside of the regions, or in too small clusters',
    mend='look at both masks; whatever is marked in the cortex or ventricles, say, counts nowhere',
)
ELSEWHERE = Refusal(
    code='mask-elsewhere',
    text='is on another grid than {other}, and only {percent:.0f} % of its volume would be left there',
    mend='does it belong to this scan? if so, resample it to the grid of that image',
    kind=ImageError,
)

# ---- which scan it belongs to

NONE_FOUND = Refusal(
    code='mask-none-found',
    text='no {wanted} in it',
    mend='give masks the name of their scan with label-PVS_mask in place of the suffix, or see '
    '--labels-layout for other names; for a training, name their folder with --labels',
    kind=InputError,
)
SEVERAL_LAYOUTS = Refusal(
    code='mask-several-layouts',
    text='holds masks that are named in several ways: {found}',
    mend='choose with --labels-layout, or give the folder of one kind',
    kind=InputError,
)
NO_RATER = Refusal(
    code='mask-no-rater',
    text='no mask in it is of rater {rater}',
    mend='there are: {present}',
    kind=InputError,
)
FIRST_RATER = Caution(
    code='mask-first-rater',
    text='{count} scans have masks of several raters ({raters}); the first of each is taken',
    mend='choose with --rater',
)
TRACED_IN_PART = Caution(
    code='mask-traced-in-part',
    text='was traced in a part of the scan alone, as {regions} says',
    mend='what lies outside of it takes no part',
)
NO_PAIR = Refusal(
    code='mask-no-pair',
    text='no sub-*_label-PVS_mask.nii.gz (or .nii) has the entities of one in {other}, such as {example}',
    mend='rename them: the entities of the scan have to be the same (space-, res-, den-, desc- may differ)',
    kind=InputError,
)
SECOND = Refusal(
    code='mask-second',
    text='a second label of a scan, beside {other}',
    mend='keep one of them in the folder, give each rater or variant a folder, or choose with --rater',
    kind=InputError,
)
MISPLACED = Refusal(
    code='mask-misplaced',
    text='its name says {name}, its folder {folder}',
    mend='find out whose it is, and move or rename it',
    kind=InputError,
)
BAD_NAME = Caution(
    code='mask-bad-name',
    text='is not a BIDS name (key-value_key-value_mask)',
    mend='it is left out; rename it',
)
TEMPLATE_SPACE = Refusal(
    code='mask-template-space',
    text="is in the space of a template ({space}), not in the scan's own",
    mend='give the label on the scan itself, or remove this file',
    kind=InputError,
)
SPACES_DIFFER = Refusal(
    code='mask-spaces-differ',
    text='is in {space}, its reference in {reference_space} ({reference})',
    mend="give both in one space, best the scan's own (a name without space-)",
    kind=ImageError,
)
OTHER_SPACE = Caution(
    code='mask-other-space',
    text="its name says that it is in {space}; it is taken to be in the scan's own space",
    mend='nothing to do if it lies on the scan',
)

# ---- marks on clusters

MARKS_DAMAGED = Refusal(
    code='marks-damaged',
    text='is no table of marks: {reason}',
    mend='download it again from the page of the scan',
    kind=ImageError,
)
MARKS_WITHOUT_CLUSTERS = Refusal(
    code='marks-without-clusters',
    text='{clusters}.nii.gz and .tsv, the clusters that it marks, are not found',
    mend='put the marks into the output folder whose page they come from, or these files beside them',
    kind=ImageError,
)
MARKS_OF_OTHERS = Refusal(
    code='marks-of-others',
    text='its mark of cluster {index} is not one of a cluster in {table}',
    mend='take the outputs whose page it comes from, or mark the clusters of these outputs',
    kind=ImageError,
)
MARKS_AS_REFERENCE = Caution(
    code='marks-as-reference',
    text='is made of marks, so that it knows no space that was missed; {unsure} clusters are unsure '
    'and {unmarked} are not marked',
    mend='do not read recall as the fraction of all spaces; those clusters are left out',
)
MARKS_AS_LABEL = Caution(
    code='marks-as-label',
    text='is made of marks, of which {unsure} are unsure, and {unmarked} clusters are not marked',
    mend='these clusters count as background in the training; mark them to have them count otherwise',
)

# ---- evaluation

NO_PREDICTION = Caution(
    code='mask-no-prediction',
    text='a reference without a prediction',
    mend='it takes no part in the evaluation; run the scan, or remove the reference',
)
NO_REFERENCE = Caution(
    code='mask-no-reference',
    text='a prediction without a reference',
    mend='it takes no part in the evaluation; if its reference is missing, add it or fetch it (datalad get)',
)
ITSELF = Caution(
    code='mask-itself',
    text='is compared with itself',
    mend='give the folder of the predictions and that of the references',
)
TRUTH_TABLE = Refusal(
    code='mask-truth-table',
    text='the table of the true spaces cannot be used ({reason})',
    mend='simulate the scan again, or remove the column detectability to do without it',
    kind=ImageError,
)
NONE_EVALUATED = Refusal(
    code='mask-none-evaluated',
    text='none of the {count} pairs of masks can be used; see the reasons above',
    mend='mend the files, and run the command again',
    kind=ImageError,
)
FEW_FOR_CALIBRATION = Refusal(
    code='mask-few-for-calibration',
    text='has {count} scans with a reference that can be used: an interval needs {fewest}',
    mend='process more of the scans that have reference masks, with the same model',
    kind=InputError,
)
NARROW_CALIBRATION = Caution(
    code='mask-narrow-calibration',
    text='has {count} scans with a reference: the intervals are the extremes of their differences',
    mend='from {enough} scans on, they hold 90 % of scans like these',
)
OTHER_MODEL = Refusal(
    code='mask-other-model',
    text='was made by another model ({name})',
    mend='give the folder of that model, or process the scans with this one',
    kind=InputError,
)
NOTHING_TO_CALIBRATE = Refusal(
    code='mask-nothing-to-calibrate',
    text='has no probability and region map beside it',
    mend='give the output folder of participant, whole',
    kind=ImageError,
)
ALL_REFERENCES_EMPTY = Caution(
    code='mask-all-references-empty',
    text='no reference marks a single voxel',
    mend='Dice is 1 or 0 by definition, and there is no relative volume difference: give references that '
    'show perivascular spaces',
)

# ---- training

NO_SCAN = Refusal(
    code='mask-no-scan',
    text='no T1w with the same entities in {folder}, or none that can be used',
    mend='mend the scan if it is named above, rename the label, or put the T1w beside the others',
    kind=InputError,
)
NO_LABELLED_SCAN = Refusal(
    code='mask-no-labelled-scan',
    text='no labelled scan has all of {channels}',
    mend='add the missing scans, or choose a recipe for the T1w alone',
    kind=InputError,
)
SAME_NAME = Refusal(
    code='mask-same-name',
    text='two datasets are named {name}',
    mend='rename the folder of one',
    kind=InputError,
)
NO_T2W = Caution(
    code='mask-no-t2w',
    text='left out, the recipe needs a T2w of the same session',
    mend='add the T2w, or choose a recipe for the T1w alone',
)
NO_LABEL = Caution(
    code='mask-no-label',
    text='{count} scans have no label ({names})',
    mend='they count as unlabelled; if a label is missing, add it or fetch it (datalad get)',
)
LABELS_UNUSABLE = Refusal(
    code='mask-labels-unusable',
    text='{count} of {total} labelled scans cannot be used ({reason})',
    mend='a training on fewer labels than given would mislead: mend them, or take their labels out of the '
    'folder',
    kind=InputError,
)
NO_PVS = Refusal(
    code='mask-no-pvs',
    text='no label of {part} marks a single voxel',
    mend='give labels that mark perivascular spaces; with few of them, change who is in which part by --seed '
    'or --validation',
    kind=InputError,
)
BRAIN_EMPTY = Refusal(
    code='mask-brain-empty',
    text='the brain mask marks no voxel of the scan',
    mend='give the mask of this brain, or take it away: one is then made',
    kind=ImageError,
)
NOTHING_TRACED = Refusal(
    code='mask-nothing-traced',
    text='nothing of the brain was traced by the map of regions beside the label',
    mend='check that both belong to this scan, or leave the scan out',
    kind=ImageError,
)
LABEL_EMPTY = Caution(
    code='mask-label-empty',
    text='the label is empty',
    mend='the scan counts as one without PVS; remove the label if its PVS were not traced',
)
LABEL_VANISHES = Caution(
    code='mask-label-vanishes',
    text='the {count} marked voxels of the label vanish at the voxel size of the network',
    mend='the scan counts as one without PVS; train at its own voxel size (--spacing)',
)
