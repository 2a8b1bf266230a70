"""Messages about the command line, folders, the machine, and label maps to simulate in."""

from __future__ import annotations

from ..errors import ImageError, PVSError
from .message import Caution, Refusal

# ---- the command line

USAGE = Refusal(code='option-usage', text='{reason}', mend='see {program} --help')
UNKNOWN = Refusal(code='option-unknown', text='no such option', mend='{nearest}see {program} --help')
COMMAND = Refusal(
    code='option-command',
    text='no such command, and no such folder',
    mend='did you mean {nearest}? see pvs --help',
)
VALUE = Refusal(
    code='option-value', text='not a value that it takes', mend='give {allowed}; see {program} --help'
)
CHOICE = Refusal(
    code='option-choice', text='invalid choice', mend='choose from {choices}; see {program} --help'
)
RANGE = Refusal(
    code='option-range', text='the first value is above the second', mend='give the lower one first'
)
TOO_MANY_VALUES = Refusal(code='option-too-many-values', text='{count} values', mend='give {most}')
CONFLICT = Refusal(
    code='option-conflict', text='does not go together with {other}', mend='leave one of them out'
)
NEEDS = Refusal(code='option-needs', text='has no effect without {other}', mend='give {other}, too')
NEEDS_DATA = Refusal(
    code='option-needs-data',
    text='no dataset to train on',
    mend='name a BIDS dataset before MODEL_DIR, or label maps with --generate',
)
COHORT_NAME = Refusal(
    code='option-cohort-name', text='a second cohort named {name}', mend='give each cohort a name of its own'
)
NOT_AT_GROUP = Refusal(
    code='option-not-at-group',
    text='the group level takes all scans of OUT_DIR, so this would have no effect',
    mend='leave it out, or name an OUT_DIR with these scans alone',
)
INSTEAD_OF_WORK = Refusal(
    code='option-instead-of-work',
    text='is of the participant level alone; the group level would do its work all the same',
    mend='leave it out, or write participant in place of group',
)
WITHOUT_EFFECT = Caution(
    code='option-without-effect', text='has no effect at the {level} level', mend='it is ignored'
)
MODALITY = Refusal(
    code='option-modality',
    text='the model {model} is one of {channels}',
    mend='choose another --model, or leave --modality out',
)

# ---- folders

NO_FOLDER = Refusal(code='option-no-folder', text='no such folder', mend='give {wanted}')
IS_A_FILE = Refusal(code='option-is-a-file', text='is a file, not a folder', mend='name another folder')
INSIDE_INPUT = Refusal(
    code='option-inside-input',
    text='lies inside {root}, to which nothing is written',
    mend='name a folder outside of it',
)
WORK_IS_OUTPUT = Refusal(
    code='option-work-is-output',
    text='intermediate files would lie among the results',
    mend='name another folder; OUT_DIR/work is the default',
)
WORK_HOLDS_INPUT = Refusal(
    code='option-work-holds-input',
    text='{root} lies inside it',
    mend='name a folder for intermediate files alone',
)
FOREIGN_OUTPUT = Refusal(
    code='option-foreign-output',
    text='holds a dataset that this program has not made ({name})',
    mend='its files would be overwritten: name another folder',
)
OTHER_OUTPUT = Refusal(
    code='option-other-output',
    text='holds another kind of dataset of this program ({name})',
    mend='the two would be mixed: name another folder',
)
OTHER_SOURCE = Caution(
    code='option-other-source',
    text='holds results of {former}; scans with the same names replace them',
    mend='give each dataset an OUT_DIR of its own, unless it is the same one in another place',
)
NOT_WRITABLE = Refusal(
    code='option-not-writable',
    text='cannot be written to ({reason})',
    mend='name a folder on a disk with space to which you may write',
)
NO_CURRENT_FOLDER = Refusal(
    code='option-no-current-folder',
    text='the folder in which the program was started is not there any more',
    mend='change to another one (cd)',
    kind=PVSError,
)
NO_TEMPORARY_FOLDER = Refusal(
    code='option-no-temporary-folder',
    text='there is no folder for temporary files',
    mend='set TMPDIR to a folder on a disk with space to which you may write',
    kind=PVSError,
)

# ---- the machine, in the middle of the work

DISK_FULL = Refusal(
    code='option-disk-full',
    text='could not be written ({reason})',
    mend='free some space, or name other folders, and run the same command again',
    kind=PVSError,
)
NOT_PERMITTED = Refusal(
    code='option-not-permitted',
    text='no access ({reason})',
    mend='change the permissions of file and folder, or name others',
    kind=PVSError,
)
VANISHED = Refusal(
    code='option-vanished',
    text='not there, or not any more ({reason})',
    mend='put it back, or check the disk, and run the same command again',
    kind=PVSError,
)
IN_THE_WAY = Refusal(
    code='option-in-the-way',
    text='something of another kind has this name ({reason})',
    mend='move it away, or name another folder',
    kind=PVSError,
)
NAME_TOO_LONG = Refusal(
    code='option-name-too-long',
    text='cannot be written ({reason})',
    mend='give a shorter name to the scan or the folder',
    kind=PVSError,
)
TOO_MANY_FILES = Refusal(
    code='option-too-many-files',
    text='cannot be opened ({reason})',
    mend='use fewer --nprocs, or raise the limit (ulimit -n)',
    kind=PVSError,
)
TOO_MANY_PROCESSES = Refusal(
    code='option-too-many-processes',
    text='no further process could be started ({reason})',
    mend='use fewer --nprocs, or raise the limit (ulimit -u)',
    kind=PVSError,
)
DISK_FAULT = Refusal(
    code='option-disk-fault',
    text='the disk failed ({reason})',
    mend='check the disk or the network, and run the same command again',
    kind=PVSError,
)
NO_MEMORY = Refusal(
    code='option-no-memory',
    text='not enough memory',
    mend='allow more (docker -m, sbatch --mem), or use fewer --nprocs',
    kind=PVSError,
)
NO_GPU_MEMORY = Refusal(
    code='option-no-gpu-memory',
    text='not enough memory on the GPU',
    mend='free it, use --device cpu, or another GPU',
    kind=PVSError,
)
STOPPED = Refusal(
    code='option-stopped',
    text='stopped before it was finished (killed, or out of memory?)',
    mend='run the same command again to go on',
    kind=PVSError,
)
STOPPED_BY_OTHER = Refusal(
    code='option-stopped-by-other',
    text='not finished, since another scan failed (--stop-on-first-crash)',
    mend='run the same command again to go on',
    kind=PVSError,
)
WORKER_KILLED = Refusal(
    code='option-worker-killed',
    text='the process that worked on it was killed, most likely for lack of memory',
    mend='allow more memory (docker -m, sbatch --mem), or use fewer --nprocs',
    kind=PVSError,
)
TOO_LITTLE_MEMORY = Refusal(
    code='option-too-little-memory',
    text='{available:.1f} GB of memory may be used here, and a scan needs {least:g}',
    mend='ask for more (docker -m 6g, sbatch --mem=6G, --mem 6)',
)

THREADS_CAPPED = Caution(
    code='option-threads-capped',
    text='more threads than --nprocs allows, which is {nprocs}',
    mend='{nprocs} are used',
)
MEMORY_CAPPED = Caution(
    code='option-memory-capped',
    text='no more than {available:.1f} GB may be used here',
    mend='that is taken for the limit',
)

# ---- the plugin of a batch system

PLUGIN_UNREADABLE = Refusal(
    code='option-plugin-unreadable',
    text='cannot be read as YAML ({reason})',
    mend='write "plugin: SLURM", and "plugin_args:" with its options indented',
)
PLUGIN_ENTRIES = Refusal(
    code='option-plugin-entries',
    text='{reason}',
    mend='write "plugin: SLURM", and "plugin_args:" with its options indented',
)
PLUGIN_UNKNOWN = Refusal(
    code='option-plugin-unknown', text='no plugin {name!r}', mend='choose from {choices}'
)
PLUGIN_COMMAND = Refusal(
    code='option-plugin-command',
    text='the plugin {name} needs {command}, which was not found',
    mend='run the program on a machine of the batch system, with this command in PATH',
)

# ---- simulation

NO_LABEL_MAPS = Refusal(
    code='option-label-map-none',
    text='has no *.nii.gz, *.nii, *.mgz or *.mgh file',
    mend='name a folder of label maps with FreeSurfer codes',
)
LABEL_MAP_VOXELS = Refusal(
    code='option-label-map-voxels',
    text='voxels of {zooms} mm',
    mend='give a map of a whole head with voxels of {low:g} to {high:g} mm',
    kind=ImageError,
)
LABEL_MAP_CODES = Refusal(
    code='option-label-map-codes',
    text='the code {code} is none of FreeSurfer or SynthSeg that is known here',
    mend='give aseg, aparc+aseg, wmparc, or a map of SynthSeg',
    kind=ImageError,
)
LABEL_MAP_IS_SCAN = Refusal(
    code='option-label-map-is-scan',
    text='{count} different values: these are intensities of a scan, not labels',
    mend='give aseg, aparc+aseg, wmparc, or a map of SynthSeg',
    kind=ImageError,
)
LABEL_MAP_NO_WHITE_MATTER = Refusal(
    code='option-label-map-no-white-matter',
    text='no white matter (codes 2 and 41)',
    mend='give a FreeSurfer or SynthSeg label map',
    kind=ImageError,
)
OTHER_SIMULATION = Refusal(
    code='option-other-simulation',
    text='was made with {key} {made}, not {wanted}',
    mend='heads that are there are kept: give the same options, or name another OUT_DIR',
)
PAINT_NO_HEAD = Refusal(
    code='option-paint-no-head',
    text='missing',
    mend='--paint needs heads made by `pvs simulate`',
)
PAINT_PARTS_DIFFER = Refusal(
    code='option-paint-parts-differ',
    text='has another shape than the labels of the same head',
    mend='simulate the head again',
)
PAINT_NO_BRAIN = Refusal(
    code='option-paint-no-brain', text='there is no brain in it', mend='simulate the head again'
)
PAINT_VOXEL_SIZE = Refusal(
    code='option-paint-voxel-size',
    text='voxels of {size:g} mm',
    mend='--paint needs those of the recipe: `pvs simulate --spacing {wanted:g}`',
)
