"""Messages about training: recipes, checkpoints, time limits and what a training gives."""

from __future__ import annotations

from ..errors import PVSError
from .message import Caution, Refusal

# ---- the recipe

NO_RECIPE = Refusal(code='training-no-recipe', text='no recipe {name!r}', mend='choose one of {known}')
NO_LOSS = Refusal(code='training-no-loss', text='no loss {name!r}', mend='choose one of {known}')
NO_DROPOUT = Refusal(code='training-no-dropout', text='the network of {recipe} has none', mend='leave it out')
NEEDS_PATCHES = Refusal(
    code='training-needs-patches', text='{recipe} is trained on patches', mend='give a size, or leave it out'
)
WHOLE_VOLUMES = Refusal(
    code='training-whole-volumes',
    text='whole volumes are mirrored only',
    mend='give a --patch-size, or leave it out',
)
SMALL_PATCH = Refusal(
    code='training-small-patch',
    text='too small for this network, whose deepest layer would have nothing left',
    mend='it needs at least {smallest}',
)
SINGLE_PATCH = Refusal(
    code='training-single-patch',
    text='a single patch of {size} voxels leaves the deepest layer one voxel, without a spread',
    mend='give a larger --patch-size, or at least two samples per device with --batch-size and --micro-batch',
)
FEW_PERSONS = Refusal(
    code='training-few-persons',
    text='needs at least 2 folds and {needed} labelled persons, have {number}',
    mend='give fewer folds, or more labelled scans',
)
UNUSABLE_MODEL = Refusal(
    code='training-unusable-model',
    text='these options would give a model that cannot be used: its "{key}" would be {value}',
    mend='it has to be {wanted}',
)
TOO_MANY_PARAMETERS = Refusal(
    code='training-too-many-parameters',
    text='the model would have {number:.3g} parameters, more than {limit:.3g}',
    mend='give fewer --filters or --folds',
)

# ---- where it starts

SEVERAL_NETWORKS = Refusal(
    code='training-several-networks',
    text='holds {number} networks (of --folds)',
    mend='name the folder of one of them',
)
OTHER_NETWORK = Refusal(
    code='training-other-network',
    text='another network than is to be trained ({different})',
    mend='give the --recipe, --filters, --refine and --compare that it was trained with',
)
CHECKPOINT_UNREADABLE = Refusal(
    code='training-checkpoint-unreadable',
    text='cannot be read as a checkpoint ({reason})',
    mend='copy it again, or remove it and start from best.pt beside it with --init, or anew',
)
NO_CHECKPOINT = Refusal(
    code='training-no-checkpoint',
    text='no checkpoint of pvs train',
    mend='name one of MODEL_DIR/checkpoints/*.pt',
)
CHECKPOINT_WRONG = Refusal(
    code='training-checkpoint-wrong',
    text='a damaged checkpoint, or one of another program: its "{key}" is {value}',
    mend='it has to be {wanted}: copy the checkpoint again, or start from another one',
)
OTHER_TRAINING = Refusal(
    code='training-other-training',
    text='was trained with another {entries}',
    mend='resume with the same options, or train into another folder',
)
OTHER_SPLIT = Refusal(
    code='training-other-split',
    text='was trained with another choice of people, label maps or scans for {parts}',
    mend='resume with the same data, --seed, --validation and --folds, or train into another folder',
)
WEIGHTS_MISFIT = Refusal(
    code='training-weights-misfit',
    text='its weights do not fit the recipe ({reason})',
    mend='give the --recipe, --filters, --refine and --compare that they were trained with',
)
HOLDS_TRAINING = Refusal(
    code='training-holds-training',
    text='holds a training already',
    mend='continue with --resume, or name another MODEL_DIR',
)
IN_USE = Refusal(
    code='training-in-use',
    text='another training uses this folder',
    mend='wait for its end, or name another MODEL_DIR',
)
RESULTS_DAMAGED = Refusal(
    code='training-results-damaged',
    text='cannot be read ({reason})',
    mend='remove it; --resume tests the fold again',
)

# ---- real scans as backgrounds

NO_BACKGROUND = Refusal(
    code='training-no-background',
    text='no finished scans of `pvs participant` in it',
    mend='run `pvs BIDS_DIR OUT_DIR participant` on the scans, and name its OUT_DIR',
)
BACKGROUND_INCOMPLETE = Refusal(
    code='training-background-incomplete',
    text='missing; without it, spaces of the person cannot be told from drawn ones',
    mend='run `pvs BIDS_DIR OUT_DIR participant` on the scan again',
)
BACKGROUND_CHANNELS = Refusal(
    code='training-background-channels',
    text='none of its {count} scans has {modality}',
    mend='run `pvs BIDS_DIR OUT_DIR participant --modality {modality}` with a --model for it, or leave '
    'out --backgrounds',
)
BACKGROUND_EMPTY = Refusal(
    code='training-background-empty',
    text='no region in which spaces could be drawn',
    mend='look at the report of the scan, and leave the scan out',
)
BACKGROUND_REGIONS = Refusal(
    code='training-background-regions',
    text='the region map beside it is not one of this version ({difference})',
    mend='run `pvs BIDS_DIR OUT_DIR participant` on the scan again with this version',
)
BACKGROUND_SKIPPED = Caution(
    code='training-background-skipped',
    text='{count} of {total} scans have no {modality}',
    mend='they are not used; run `participant` with that modality to use them',
)

# ---- its course

NO_UNLABELLED = Caution(
    code='training-no-unlabelled',
    text='no unlabelled scans',
    mend='consistency is learnt on the labelled ones; add scans without a label',
)
FEW_VALIDATION = Caution(
    code='training-few-validation',
    text='few scans to validate on ({count})',
    mend='they alone choose checkpoint and threshold; see --validation',
)
EMPTY_VALIDATION = Caution(
    code='training-empty-validation',
    text='no scan to validate on shows a perivascular space',
    mend='there is no score: the last weights and the threshold 0.5 are taken; change --seed or --validation',
)
NO_GRADIENT = Caution(
    code='training-no-gradient',
    text='step {step}: no finite gradient, skipped',
    mend='if this happens often, lower --learning-rate, or train with --precision fp32',
)
DIVERGED = Refusal(
    code='training-diverged',
    text='training diverged: no finite gradient in {number} steps up to step {step}',
    mend='lower --learning-rate, or train with --precision fp32',
)
GPU_MEMORY = Refusal(
    code='training-gpu-memory',
    text='the memory of the GPU is not enough',
    mend='give --micro-batch 1, a smaller --patch-size or fewer --filters, and --resume',
    kind=PVSError,
)
PROCESS_ENDED = Refusal(
    code='training-process-ended',
    text='one of the training processes was ended ({reason})',
    mend='allow more memory (docker -m, sbatch --mem), and continue with --resume',
    kind=PVSError,
)
LOADER_ENDED = Refusal(
    code='training-loader-ended',
    text='the process that prepares samples was ended ({reason})',
    mend='allow more memory (docker -m, and docker --shm-size 2g; sbatch --mem), and continue with --resume',
    kind=PVSError,
)

NOTHING_IN_DOUBT = Refusal(
    code='training-nothing-in-doubt',
    text='its network leaves no voxel of {number} patches in doubt: a comparison has nothing to learn from',
    mend='train the network longer first, or train without --compare',
)

# ---- its time

TIME_UP = Caution(
    code='training-time-up',
    text='the time limit ended the training at step {step} of {steps}; the model has the weights of step '
    '{best}',
    mend='the same command with --resume continues',
)
NO_TIME = Refusal(
    code='training-no-time',
    text='was over before the first step of the training; no model was written',
    mend='prepared scans and pre-training are kept: run it again with --resume and more time',
    kind=PVSError,
)
NO_TIME_IN_FOLDS = Refusal(
    code='training-no-time-in-folds',
    text='was over in fold {number} of {total}; no model of all folds was written',
    mend='what is done is kept: run it again with --resume',
    kind=PVSError,
)
UNTESTED = Caution(
    code='training-untested',
    text='the time limit left {number} of {total} folds without tests: the scores are those of the others',
    mend='the same command with --resume tests them',
)
THRESHOLD_IN_HASTE = Caution(
    code='training-threshold-in-haste',
    text='the threshold was chosen on {used} of {count} validation scans, since the time limit was reached',
    mend='the same command with --resume chooses it on all',
)
