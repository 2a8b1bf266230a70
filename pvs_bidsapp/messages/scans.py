"""Messages about scans: their files, their geometry, their values, and what they show."""

from __future__ import annotations

from ..errors import ImageError, ModelError
from .message import Caution, Refusal

NOT_FINISHED = Refusal(
    code='scan-not-finished',
    text='not finished: {reason}',
    mend='nothing else has failed; once the reason is mended, the same call goes on',
    kind=ImageError,
)

# ---- the file

DAMAGED = Refusal(
    code='scan-damaged',
    text='cannot be read, damaged or cut short ({reason})',
    mend='copy or convert it again',
    kind=ImageError,
)
UNKNOWN_TYPE = Refusal(
    code='scan-unknown-type',
    text='is of no type that is read here',
    mend='convert it to NIfTI (.nii, .nii.gz); .mgz and .mgh are read, too',
    kind=ImageError,
)
NOT_3D = Refusal(
    code='scan-not-3d',
    text='{dimensions}D {shape}',
    mend='give one 3D volume (average or split it)',
    kind=ImageError,
)
HUGE = Refusal(
    code='scan-huge',
    text='{shape} voxels, more than {limit} in all',
    mend='crop it to the head, or resample it to 0.5 mm',
    kind=ImageError,
)
COLOUR = Refusal(
    code='scan-colour',
    text='is a colour image (RGB), not a scan',
    mend='give the scan from which the picture was made',
    kind=ImageError,
)
COMPLEX = Refusal(
    code='scan-complex',
    text='holds complex numbers',
    mend='give the magnitude image',
    kind=ImageError,
)

# ---- geometry

INVALID_AFFINE = Refusal(
    code='scan-invalid-affine',
    text='its affine is not valid',
    mend='set qform or sform, or convert it again',
    kind=ImageError,
)
VOXEL_SIZES_CONTRADICT = Refusal(
    code='scan-voxel-sizes-contradict',
    text='voxels of {sform} mm by its sform, of {pixdim} mm by its pixdim and qform',
    mend='volumes would depend on which is right: convert it again, or copy the right form over the other '
    '(fslorient, nifti_tool)',
    kind=ImageError,
)
LEFT_RIGHT_CONTRADICTS = Refusal(
    code='scan-left-right-contradicts',
    text='left and right of its sform are swapped in its qform',
    mend='find out which is right, and copy it over the other (fslorient -copysform2qform, '
    'fslorient -copyqform2sform)',
    kind=ImageError,
)
SHEARED = Refusal(
    code='scan-sheared',
    text='the axes of its affine are not at right angles (off by {angle:.2f} degrees, {shift:.1f} mm at the '
    'edge)',
    mend='resample it to a grid without shear (mri_convert, flirt -applyisoxfm), or convert it again',
    kind=ImageError,
)
FIELD_OF_VIEW = Refusal(
    code='scan-field-of-view',
    text='voxels of {zooms} mm over {extent} mm',
    mend='a whole head in voxels of at most {limit:g} mm is needed',
    kind=ImageError,
)
FORMS_DIFFER = Caution(
    code='scan-forms-differ',
    text='its sform and its qform differ by {angle:.1f} degrees',
    mend='the sform is used; check coordinates and sides',
)
SFORM_INVALID = Caution(
    code='scan-sform-invalid',
    text='its sform is not valid',
    mend='the qform is used; check coordinates and sides',
)
VOXEL_SIZES_DIFFER = Caution(
    code='scan-voxel-sizes-differ',
    text='voxels of {sform} mm by its sform, of {pixdim} mm by its pixdim',
    mend='the sform is used; volumes may be off by {percent:.1f} %',
)
NO_ORIENTATION = Caution(
    code='scan-no-orientation',
    text='its header has no orientation (both form codes are 0)',
    mend='left and right are a guess, so hemispheres may be swapped: convert it again from DICOM, or set '
    'qform or sform',
)
UNITS_CONVERTED = Caution(
    code='scan-units',
    text='its header gives lengths in {unit}',
    mend='they are converted to mm; check the volumes',
)
UNITS_IGNORED = Caution(
    code='scan-units-wrong',
    text='its header gives lengths in {unit}, with voxels of {zooms}',
    mend='no head has this size: mm are taken; correct xyzt_units',
)
THICK = Caution(
    code='scan-thick',
    text='voxels of {zooms} mm',
    mend='most perivascular spaces are thinner than these voxels: numbers and volumes are too low, and '
    'cannot be compared with those of finer scans',
)
NARROW = Caution(
    code='scan-narrow',
    text='a field of view of {extent} mm is smaller than a head',
    mend='what lies outside is not counted; exclude the scan if the brain is cut',
)

# ---- values

EMPTY = Refusal(
    code='scan-empty',
    text='the image is empty (all zero)',
    mend='export it again',
    kind=ImageError,
)
CONSTANT = Refusal(
    code='scan-constant',
    text='the image is constant ({value:g})',
    mend='export it again',
    kind=ImageError,
)
MANY_NAN = Refusal(
    code='scan-many-nan',
    text='{percent:.1f} % of its voxels are NaN, infinite or beyond 1e30',
    mend='convert it again',
    kind=ImageError,
)
NAN_FILLED = Caution(
    code='scan-nan-filled',
    text='{count} of its voxels are NaN, infinite or beyond 1e30',
    mend='they are filled from their neighbours; convert it again',
)
NAN_BACKGROUND = Caution(
    code='scan-nan-background',
    text='the background is NaN ({percent:.0f} % of its voxels)',
    mend='it counts as 0; nothing to do if the scan was masked on purpose',
)
NEGATIVE_SHIFTED = Caution(
    code='scan-negative',
    text='{percent:.0f} % of its values are negative, the lowest is {low:.4g}',
    mend='all values are shifted so that the lowest is 0; nothing to do if they were standardised (z-scores)',
)
NEGATIVE_CLIPPED = Caution(
    code='scan-negative-small',
    text='{percent:.2g} % of its values are negative, most of them slightly (the lowest is {low:.4g})',
    mend='they count as 0, since interpolation leaves such values',
)
OUTLIERS = Caution(
    code='scan-outliers',
    text='{count} of its voxels lie far from all others ({low:.4g} to {high:.4g})',
    mend='they are cut to the range of the others; look for damage',
)

# ---- what it shows

NO_HEAD = Refusal(
    code='scan-no-head',
    text='no head was found in the image',
    mend='check in a viewer that it is a scan of a whole head',
    kind=ImageError,
)
T2W_SHARED = Caution(
    code='scan-t2w-shared',
    text='its T2w is that of another scan, too ({other})',
    mend='the T2w gets the spaces of that scan alone',
)
NO_BRAIN = Refusal(
    code='scan-no-brain',
    text='no brain was found',
    mend='is this a scan of a whole head, right side up?',
    kind=ImageError,
)
NO_FIT = Refusal(
    code='scan-no-fit',
    text='the template does not fit this scan (correlation {correlation:.2f}, at least {limit:g} is needed)',
    mend='check in a viewer that it shows a head, that the orientation in its header is right, and that it '
    'is the T1w that it is called, no T2w or FLAIR (with --modality T2w: a T2w)',
    kind=ImageError,
)
POOR_FIT = Caution(
    code='scan-poor-fit',
    text='the template fits this scan poorly (correlation {correlation:.2f})',
    mend='look at the figure of the regions before you use its numbers',
)
T2W_MIRRORED = Caution(
    code='scan-t2w-mirrored',
    text='left and right of the T2w seem to be exchanged against the T1w (its mirror image fits better: '
    'correlation {mirrored:.2f}, not {correlation:.2f})',
    mend='find out which of the two headers is right, and mend the other',
)
QUALITY = Caution(
    code='scan-quality',
    text='{metric} is {value}; in good scans it is {range}',
    mend='look at the scan and at the figures on its page before you use its numbers',
)
MASK_IN_DOUBT = Caution(
    code='scan-mask-in-doubt',
    text='the mask is expected to agree with the spaces of this scan by a Dice of only {dice:.2f}',
    mend='its number and volume may be far off: look at its page; use the expected ones with their '
    'intervals, or leave the scan out',
)
HALF_BRAIN = Refusal(
    code='scan-half-brain',
    text='about {percent:.0f} % of the brain lies outside of the field of view',
    mend='give a scan of the whole brain',
    kind=ImageError,
)
BRAIN_CUT = Caution(
    code='scan-brain-cut',
    text='about {percent:.0f} % of the brain lies outside of the field of view',
    mend='counts and volumes are those of the part that was scanned',
)

# ---- the T2w beside it

T2W_UNUSABLE = Refusal(
    code='scan-t2w-unusable',
    text='its T2w cannot be used: {reason}',
    mend='mend it, or choose a --model and --modality without T2w',
    kind=ImageError,
)
T2W_LEFT_OUT = Caution(
    code='scan-t2w-left-out',
    text='its T2w is left out: {reason}',
    mend='the results come from the T1w alone, as with any model of the T1w',
)
T2W_NO_OVERLAP = Refusal(
    code='scan-t2w-no-overlap',
    text='the T2w covers {percent:.0f} % of the brain',
    mend='give a T2w of the whole brain',
    kind=ImageError,
)
T2W_NO_FIT = Refusal(
    code='scan-t2w-no-fit',
    text='the T2w does not lie on the T1w (correlation {correlation:.2f}; that of a T2w is negative)',
    mend='check in a viewer that both are of one person and session, and that it is a T2w',
    kind=ImageError,
)
T2W_PARTIAL = Caution(
    code='scan-t2w-partial',
    text='the T2w covers {percent:.0f} % of the brain',
    mend='outside of it the network sees no T2w, and finds less',
)

# ---- the template

TEMPLATE_UNREADABLE = Refusal(
    code='scan-template',
    text='the template cannot be used ({reason})',
    mend='install the package again',
    kind=ModelError,
)
