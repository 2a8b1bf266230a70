"""Messages about models: their cards, their weights, what they need and the device that they run on."""

from __future__ import annotations

from ..errors import ImageError, InputError, ModelError
from .message import Caution, Refusal

# ---- the card

ABSENT = Refusal(
    code='model-absent',
    text='no model {name}: neither a bundled one ({known}) nor a folder with {card}',
    mend='give one of these names, or the folder of a model (pvs models lists the bundled ones)',
    kind=ModelError,
)
BUNDLED = Refusal(
    code='model-bundled',
    text='names a bundled model, whose card is part of the program',
    mend='copy its folder under a name of your own, and give the path of the copy',
)
CARD_UNREADABLE = Refusal(
    code='model-card-unreadable',
    text='cannot be read ({reason})',
    mend='mend its permissions, or copy the model again',
    kind=ModelError,
)
CARD_TOO_LARGE = Refusal(
    code='model-card-too-large',
    text='is no model card: it is larger than {limit} MB, and a card has a few kB',
    mend='copy the model again',
    kind=ModelError,
)
CARD_NOT_JSON = Refusal(
    code='model-card-not-json',
    text='is no model card ({reason})',
    mend='copy the model again, or correct the file',
    kind=ModelError,
)
CARD_INCOMPLETE = Refusal(
    code='model-card-incomplete',
    text='this model card lacks {keys}',
    mend='copy the model again, or add what is missing',
    kind=ModelError,
)
CARD_UNKNOWN = Refusal(
    code='model-card-unknown-entry',
    text='this model card has entries that are not known: {keys}',
    mend='remove them, or use the version of the program that wrote the card',
    kind=ModelError,
)
CARD_WRONG = Refusal(
    code='model-card-wrong-entry',
    text='"{key}" of this model card is {value}',
    mend='it has to be {wanted}: correct it, or copy the model again',
    kind=ModelError,
)
ARCHITECTURE = Refusal(
    code='model-architecture',
    text='architecture {name}: {reason}',
    mend='correct "architecture" in the model card; known architectures are {known}',
    kind=ModelError,
)
INTENSITY = Refusal(
    code='model-intensity',
    text='intensity rule of the model: "{key}" is {value}',
    mend='it has to be {wanted}: correct "intensity" in the model card',
    kind=ModelError,
)
TOO_MANY_PARAMETERS = Refusal(
    code='model-too-many-parameters',
    text='its network would have {number:.3g} parameters, more than {limit:.3g}',
    mend='correct "architecture" in the model card, or train with fewer --filters',
    kind=ModelError,
)

# ---- the weights

WEIGHTS_ABSENT = Refusal(
    code='model-weights-absent',
    text='missing, or no file',
    mend='copy the model again, reinstall the package or name another --model',
    kind=ModelError,
)
WEIGHTS_UNREADABLE = Refusal(
    code='model-weights-unreadable',
    text='cannot be read ({reason})',
    mend='mend its permissions, or copy the model again',
    kind=ModelError,
)
WEIGHTS_TOO_LARGE = Refusal(
    code='model-weights-too-large',
    text='is larger than any network that is loaded here ({limit:.1f} GB)',
    mend='copy the model again',
    kind=ModelError,
)
WEIGHTS_CHANGED = Refusal(
    code='model-weights-changed',
    text='checksum {actual}... is not the {expected}... of its card; the file is damaged or was changed',
    mend='copy the model again; do not use results of these weights',
    kind=ModelError,
)
WEIGHTS_DAMAGED = Refusal(
    code='model-weights-damaged',
    text='is no intact safetensors file ({reason})',
    mend='copy the model again',
    kind=ModelError,
)
WEIGHTS_MISFIT = Refusal(
    code='model-weights-misfit',
    text='does not fit its card ({reason})',
    mend='use card and weights of the same model',
    kind=ModelError,
)
WEIGHTS_IMPOSSIBLE = Refusal(
    code='model-weights-impossible',
    text='its tensor {tensor} holds {what}',
    mend='use an earlier copy of the model, or train it again',
    kind=ModelError,
)

# ---- use

OUTPUT_NOT_FINITE = Refusal(
    code='model-output-not-finite',
    text='this model gives NaN or infinite probabilities on this scan',
    mend='its weights are unsuitable: use another --model, or run it with --device cpu',
    kind=ModelError,
)
NEEDS_CHANNEL = Refusal(
    code='model-needs-channel',
    text='the model {name} needs a {channel} of the same session',
    mend='add it, or choose another --model',
    kind=ImageError,
)
NO_TISSUES = Refusal(
    code='model-no-tissues',
    text='no white matter or no CSF was found, by which intensities are scaled; is this a brain scan?',
    mend='look at the scan and its brain mask, or give masks by -d',
    kind=ImageError,
)
NO_CONTRAST = Refusal(
    code='model-no-contrast',
    text='white matter and CSF have the same intensity',
    mend='give a T1w or T2w scan',
    kind=ImageError,
)

# ---- the device

DEVICE_UNKNOWN = Refusal(
    code='model-device-unknown',
    text='is no device',
    mend='give auto, cpu, cuda or cuda:N',
    kind=InputError,
)
DEVICE_UNUSABLE = Refusal(
    code='model-device-unusable',
    text='{reason}',
    mend='--device cpu runs without a GPU',
    kind=InputError,
)
FEW_GPUS = Refusal(
    code='model-few-gpus',
    text='there are only {number} GPUs',
    mend='give at most as many --devices as there are GPUs',
    kind=InputError,
)
NO_GPU = Caution(
    code='model-no-gpu',
    text='no usable GPU found ({reason})',
    mend='running on the CPU, which takes longer',
)
NO_OPENVINO = Caution(
    code='model-no-openvino',
    text='OpenVINO cannot run this network ({reason})',
    mend='torch runs it, which takes about twice as long; the results differ by rounding',
)
NO_BF16 = Caution(
    code='model-no-bf16',
    text='this processor has no units for bf16',
    mend='the network runs in fp32, without --precision bf16',
)
