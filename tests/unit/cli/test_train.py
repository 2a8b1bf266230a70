"""The options of ``pvs train``, and the configuration that they make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from refusals import refused

from pvs_bidsapp.cli.main import main
from pvs_bidsapp.cli.train import RECIPES as NAMES
from pvs_bidsapp.cli.train import main as train_main
from pvs_bidsapp.cli.train import make_config, parser, recipe_changes
from pvs_bidsapp.errors import InputError
from pvs_bidsapp.messages import options, training
from pvs_bidsapp.segmentation.model import load_model, write_model
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.training.config import Schedule, TrainingConfig, TrainingData
from pvs_bidsapp.training.initial_model import read_initial_model
from pvs_bidsapp.training.recipes import JOLIOT, M2SS, RECIPES, Recipe, resolve_recipe


def resolve(*arguments: str, device: str = 'cuda:0') -> Recipe:
    args = parser().parse_args(['data', 'model', *arguments])
    initial = read_initial_model(args.init) if args.init else None
    return resolve_recipe(args.recipe, recipe_changes(args), initial, device)


def test_recipes_of_the_command_line_are_those_there_are():
    assert set(NAMES) == set(RECIPES)


def test_a_model_is_trained_further_on_patches_as_before():
    fresh, further = resolve(), resolve('--init', 'joliot2021-t1')
    bundled = load_model('joliot2021-t1').card
    assert [r.patch_size for r in (fresh, further)] == [None, bundled.patch_size]
    assert [r.spacing for r in (fresh, further)] == [1.0, bundled.spacing]
    assert bundled.patch_size
    assert resolve('--init', 'joliot2021-t1', '--spacing', '1.2', '0.6').spacing == (0.6, 1.2)
    assert resolve('--spacing', '0.9', '0.9').spacing == 0.9


@pytest.mark.parametrize(('name', 'of_model', 'requested'), [('filters', 2, 2), ('dropout', 0.25, 0)])
def test_the_network_is_as_requested_or_that_of_the_initial_model(tmp_path, name, of_model, requested):
    def chosen(*options: str) -> float:
        return resolve(*options, device='cpu').architecture[name]

    card = replace(
        load_model('joliot2021-t1').card, architecture=JOLIOT.architecture | {'filters': 2, name: of_model}
    )
    write_model(tmp_path / 'other', build(card.architecture), card)
    further = ('--init', str(tmp_path / 'other'))
    assert chosen() == JOLIOT.architecture[name]
    assert chosen(*further) == of_model
    option = (f'--{name}', str(requested))
    assert chosen(*further, *option) == chosen(*option) == requested
    with pytest.raises(InputError, match='filters 2 instead of 4'):
        chosen(*further, '--filters', '4')


def test_every_option_has_its_place_in_the_configuration(tmp_path):
    for name in ('data', 'other'):
        (tmp_path / name).mkdir()
    arguments = (
        '--recipe m2ss --labels l --trained_on words --validation 0.2 --folds 3 --test 0.3 --training_size 7 '
        '--epochs 2 --steps 3 --batch_size 5 --micro-batch 2 --learning-rate 0.5 --patience 6 --seed 8 '
        '--resume --time-limit 9 --device cpu --devices 2 --precision bf16 --cache c --n_cpus 4 '
        '--paint hard --loss dice --spacing 1 --patch-size 48 --filters 4'
    ).split()
    args = parser().parse_args(
        [str(tmp_path / 'data'), str(tmp_path / 'm'), '--also', str(tmp_path / 'other'), *arguments]
    )
    assert make_config(args) == TrainingConfig(
        recipe=replace(
            M2SS, batch_size=5, learning_rate=0.5, loss='dice', spacing=1.0, patch_size=48, stride=24,
            all_orientations=True, architecture=M2SS.architecture | {'filters': 4},
        ),
        schedule=Schedule(
            epochs=2, steps_per_epoch=3, seed=8, time_limit=9.0, patience=6, precision='bf16', micro_batch=2
        ),
        data=TrainingData(
            data_sets=(
                (tmp_path / 'data', Path('l')),
                (tmp_path / 'other', tmp_path / 'other/derivatives/labels'),
            ),
            cache_dir=Path('c'), validation_fraction=0.2, folds=3, test_fraction=0.3, training_size=7,
            synthesize='hard',
        ),
        model_dir=tmp_path / 'm', devices=('cpu', 'cpu'), nprocs=4, resume=True, trained_on='words',
    )  # fmt: skip


def test_defaults(tmp_path):
    config = make_config(parser().parse_args([str(tmp_path), str(tmp_path / 'm'), '--device', 'cpu']))
    assert config == TrainingConfig(
        recipe=replace(JOLIOT, patch_size=64, stride=48),
        schedule=Schedule(patience=15),
        data=TrainingData(
            data_sets=((tmp_path, tmp_path / 'derivatives/labels'),), cache_dir=tmp_path / 'm/cache'
        ),
        model_dir=tmp_path / 'm',
    )


def make_label_maps(folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f'seg_{k}.nii.gz' for k in (1, 2)]
    for path in paths:
        path.touch()
    return paths


def test_label_maps_take_the_place_of_scans(tmp_path):
    paths = make_label_maps(tmp_path / 'maps')
    maps = ['--generate', str(tmp_path / 'maps'), '--recipe', 'supervised-multi', '--modality', 'T1w']
    args = parser().parse_args([str(tmp_path / 'm'), *maps, '--device', 'cpu', '--nprocs', '3'])
    assert args.data_dir is None
    config = make_config(args)
    assert config.data.data_sets == ()
    assert config.data.generate == tuple(paths)
    assert config.recipe.channels == ('T1w',)
    assert config.recipe.architecture['in_channels'] == 1
    assert config.loaders == 3
    assert not config.uses_unlabelled
    assert config.data.backgrounds == ()
    scans = ['--backgrounds', str(tmp_path / 'a'), str(tmp_path / 'b')]
    data = make_config(parser().parse_args([str(tmp_path / 'm'), *maps, *scans, '--device', 'cpu'])).data
    assert (data.backgrounds, data.background_fraction) == ((tmp_path / 'a', tmp_path / 'b'), 0.25)
    scans.extend(['--background-share', '0.5', '--device', 'cpu'])
    assert make_config(parser().parse_args([str(tmp_path / 'm'), *maps, *scans])).data == replace(
        data, background_fraction=0.5
    )


def test_a_model_that_is_trained_further_keeps_the_limit_of_its_comparison(tmp_path):
    model = load_model('t2')
    limited = model.card.architecture | {'compare_limit': 0.5}
    write_model(tmp_path / 'limited', model.network(), replace(model.card, architecture=limited))
    given = ('--recipe', 'supervised-multi', '--modality', 'T2w', '--device', 'cpu')
    for init, expected in (('t2', 0.0), (str(tmp_path / 'limited'), 0.5)):
        assert resolve(*given, '--init', init).architecture['compare_limit'] == expected


def write_without_comparison(folder: Path) -> Path:
    """The bundled model for the T2w as it is without its comparison."""
    model = load_model('t2')
    architecture = {key: value for key, value in model.card.architecture.items() if key != 'compare'}
    network = build(architecture)
    weights = model.network().state_dict()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    write_model(folder, network, replace(model.card, architecture=architecture))
    return folder


def test_a_comparison_is_put_behind_a_model_by_patches_without_end(tmp_path):
    make_label_maps(tmp_path / 'maps')
    generate = ['--generate', str(tmp_path / 'maps')]
    init = ['--init', str(write_without_comparison(tmp_path / 'without'))]
    given = [*generate, *init, '--recipe', 'supervised-multi', '--modality', 'T2w', '--device', 'cpu']
    plain, compared = (
        make_config(parser().parse_args([str(tmp_path / 'm'), *given, *extra]))
        for extra in ([], ['--compare', '12'])
    )
    assert compared.recipe.architecture == plain.recipe.architecture | {'compare': 12}
    assert (plain.adds_comparison, compared.adds_comparison) == (False, True)
    limit = ['--compare', '12', '--compare-limit', '0.5']
    limited = make_config(parser().parse_args([str(tmp_path / 'm'), *given, *limit]))
    assert limited.recipe.architecture == compared.recipe.architecture | {'compare_limit': 0.5}
    with refused(options.NEEDS, naming='--compare-limit'):
        train_main([str(tmp_path / 'm'), *generate, *init, '--compare-limit', '0.5'])
    with pytest.raises(InputError, match='compare 32 instead of 12'):
        resolve('--recipe', 'supervised-multi', '--modality', 'T2w', '--init', 't2', '--compare', '12')
    for missing, given in (('--init', generate), ('--generate', init)):
        with refused(options.NEEDS, naming=missing):
            train_main([str(tmp_path / 'm'), *given, '--compare', '12'])


@pytest.mark.parametrize(
    'option', ['--devices 2', '--loss ce', '--batch-size 2', '--micro-batch 1', '--learning-rate 0.1']
)
def test_what_a_comparison_does_not_heed_is_refused(tmp_path, option):
    make_label_maps(tmp_path / 'maps')
    generate = ['--generate', str(tmp_path / 'maps'), '--init', 't2', '--compare', '32']
    with refused(options.CONFLICT, naming=option.split()[0]):
        train_main([str(tmp_path / 'm'), *generate, *option.split()])


def test_one_gpu_is_not_several(tmp_path):
    (tmp_path / 'data').mkdir()
    with refused(options.CONFLICT, naming='--device cuda:1'):
        train_main([str(tmp_path / 'data'), str(tmp_path / 'm'), '--device', 'cuda:1', '--devices', '2'])


def test_whole_volumes_are_not_turned():
    with refused(training.WHOLE_VOLUMES, naming='--turns'):
        resolve('--patch-size', '0', '--turns')
    assert resolve('--patch-size', '64', '--turns').all_orientations


def test_what_belongs_to_scans_does_not_go_with_label_maps(tmp_path):
    make_label_maps(tmp_path / 'maps')
    (tmp_path / 'data').mkdir()
    generate = ['--generate', str(tmp_path / 'maps')]
    for extra in (
        ['--paint', 'easy'],
        ['--folds', '2'],
        ['--labels', str(tmp_path)],
        ['--also', str(tmp_path)],
    ):
        with refused(options.CONFLICT, naming=extra[0]):
            train_main([str(tmp_path / 'm'), *generate, *extra])
    with refused(options.CONFLICT, naming='DATA_DIR'):
        train_main([str(tmp_path / 'data'), str(tmp_path / 'm'), *generate])
    with refused(options.NEEDS, naming='--backgrounds'):
        train_main([str(tmp_path / 'm'), *generate, '--background-share', '0.5'])
    with refused(options.NEEDS, naming='--generate'):
        train_main([str(tmp_path / 'data'), str(tmp_path / 'm'), '--backgrounds', str(tmp_path)])
    with refused(options.NO_FOLDER, naming='--backgrounds'):
        train_main([str(tmp_path / 'm'), *generate, '--backgrounds', str(tmp_path / 'none')])
    with refused(options.NEEDS_DATA, naming='DATA_DIR'):
        train_main([str(tmp_path / 'm')])
    with refused(options.NO_LABEL_MAPS, naming='--generate'):
        train_main([str(tmp_path / 'm'), '--generate', str(tmp_path / 'data')])
    assert not (tmp_path / 'm').exists()


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        (['--patch-size', '32'], 'at least 64'),
        (['--batch-size', '1'], 'two samples'),
        (['--folds', '1'], '--folds'),
        (['--labels', 'none'], '--labels'),
        (['--recipe', 'm2ss', '--patch-size', '0'], 'patches'),
        (['--recipe', 'm2ss', '--dropout', '0.1'], 'm2ss has none'),
        (['--dropout', '1'], 'below 1'),
        (['--validation', '1'], '--validation'),
        (['--steps', '0'], '--steps 0'),
        (['--spacing', '5'], '--spacing'),
        (['--also', 'nowhere'], 'no such folder'),
    ],
)
def test_bad_options_are_reported_in_one_line(tmp_path, capsys, given, words):
    (tmp_path / 'data').mkdir()
    arguments = ['train', str(tmp_path / 'data'), str(tmp_path / 'model'), '--device', 'cpu', *given]
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert words in message
    assert 'Traceback' not in message
    assert message.startswith('pvs: error: ')
    assert not (tmp_path / 'model').exists()
