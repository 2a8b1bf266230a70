"""What the options take, and how they say what they do not take."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from refusals import refused

from pvs_bidsapp.anatomy import template
from pvs_bidsapp.cli import app, evaluate, group, participant, predict, simulate, train
from pvs_bidsapp.cli.arguments import (
    Number,
    PathText,
    WholeNumber,
    add_option,
    command_parser,
    log_to_terminal,
)
from pvs_bidsapp.messages import options

FOLDERS = {
    app: ['b', 'o', 'participant'], predict: ['a.nii', 'o'], evaluate: ['p', 'r', 'o'], simulate: ['o'],
    train: ['d', 'm'],
}  # fmt: skip
#: Values that each option refuses; all of them refuse words, nan and infinities.
NUMBERS = [
    (app, '--nprocs', '0 -1 1.5 1e3 99999'),
    (app, '--n_cpus', '0'),
    (app, '--omp-nthreads', '0 -2'),
    (app, '--mem', '0 -1'),
    (app, '--threshold', '0 -0.1 2 1.0001'),
    (app, '--min-cluster-size', '-1 -0.001'),
    (app, '--random-seed', '-1 0 1099511627776 2147483648 1.0'),
    (app, '--size-filters', '-1'),
    (predict, '--threshold', '0 2'),
    (evaluate, '--size-filters', '-1 -5'),
    (evaluate, '--thresholds', '0 1 -1 2'),
    (simulate, '--n-subjects', '0 -4 2.5'),
    (simulate, '--first', '0'),
    (simulate, '--spacing', '0 0.1 9 -1'),
    (simulate, '--sites', '-1'),
    (simulate, '--sessions', '0'),
    (simulate, '--rater-reliability', '-0.1 2'),
    (simulate, '--seed', '-1 1099511627776'),
    (simulate, '--nprocs', '0'),
    (train, '--epochs', '0 -1'),
    (train, '--steps', '0'),
    (train, '--batch-size', '0'),
    (train, '--micro-batch', '0'),
    (train, '--learning-rate', '0 -0.1 2'),
    (train, '--patience', '-1'),
    (train, '--seed', '-1 1099511627776'),
    (train, '--time-limit', '0 -4'),
    (train, '--validation', '-0.1 1'),
    (train, '--test', '0 1 -1'),
    (train, '--folds', '-1'),
    (train, '--training-size', '0'),
    (train, '--patch-size', '-1'),
    (train, '--spacing', '0 5'),
    (train, '--filters', '0'),
    (train, '--dropout', '-0.1 1'),
    (train, '--devices', '0'),
    (train, '--nprocs', '0'),
]


@pytest.mark.parametrize(
    ('command', 'option', 'value'),
    [
        (c, o, v)
        for c, o, values in NUMBERS
        for v in [*values.split(), 'nan', 'inf', '-inf', '-nan', 'x', '', '1e400']
    ],
)
def test_a_number_beyond_its_limits_is_refused_with_them(command, option, value):
    name = option.replace('--n_cpus', '--nprocs')
    for arguments in ([option, value], [f'{option}={value}']):
        with refused(options.VALUE, naming=f'{name} {value}: not a value that it takes; give a'):
            command.parser().parse_args([*FOLDERS[command], *arguments])


@pytest.mark.parametrize(
    ('kind', 'text', 'value'),
    [
        (Number(low=0, above=True, high=1), '1', 1.0),
        (Number(low=0, above=True, high=1), '1e-3', 0.001),
        (Number(low=-2), '-.5', -0.5),
        (WholeNumber(low=1), '12', 12),
        (PathText(), 'a b/é', Path('a b/é')),
    ],
)
def test_values_within_the_limits(kind, text, value):
    p = command_parser('pvs x', '')
    add_option(p, '--some-thing', type=kind)
    for spelling in (['--some-thing', text], [f'--some_thing={text}']):
        assert p.parse_args(spelling).some_thing == value
    assert type(p.parse_args(['--some-thing', text]).some_thing) is type(value) or kind == PathText()


def test_a_log_message_has_one_line(monkeypatch, capsys):
    monkeypatch.setattr(logging.root, 'handlers', [])
    log_to_terminal()
    logging.getLogger('pvs').warning('%s: odd', 'a\n\x1b[31mb')
    assert capsys.readouterr().err == 'pvs: a [31mb: odd\n'


def test_limits_are_said_in_words():
    assert str(Number(low=0, above=True, high=1, below=True)) == 'a number above 0 and below 1'
    assert str(WholeNumber(low=1, high=2**31 - 1)) == 'a whole number of at least 1 and at most 2147483647'
    assert str(Number()) == 'a number'


def test_an_empty_path_is_that_of_an_unset_variable(monkeypatch):
    with refused(options.VALUE, naming='--work-dir'):
        app.parser().parse_args(['b', 'o', 'participant', '-w', ''])
    with refused(options.VALUE, naming='OUT_DIR'):
        app.parser().parse_args(['b', ' ', 'participant'])
    monkeypatch.setenv('HOME', '/home/me')
    assert app.parser().parse_args(['b', 'o', 'participant', '--work-dir=~/w']).work_dir == Path('/home/me/w')
    assert app.parser().parse_args(['b', 'o', 'participant', '--work-dir=~you']).work_dir == Path('~you')


@pytest.mark.parametrize(
    ('arguments', 'option', 'nearest'),
    [
        (['--modle', 'x', 'b', 'o', 'participant'], '--modle', '--model'),
        (['b', 'o', 'participant', '--participant', '01'], '--participant', '--participant-label'),
        (['b', 'o', 'participant', '--n_procs=2'], '--n_procs', '--nprocs'),
        (['b', 'o', 'participant', '--thresh', '0.1'], '--thresh', '--threshold'),
        (['b', 'o', 'participant', '-q'], '-q', ''),
        (['b', 'o', 'participant', '--xyzzy'], '--xyzzy', ''),
    ],
)
def test_a_misspelt_option_names_the_nearest(arguments, option, nearest):
    """An abbreviation is misspelt: a later release might have another option of that beginning."""
    with refused(
        options.UNKNOWN, naming=f'{option}: no such option; {"did you mean " + nearest if nearest else "see"}'
    ):
        app.parser().parse_args(arguments)


def test_what_looks_like_an_option_and_is_none():
    args = app.parser().parse_args(
        ['b', 'o', 'group', '--formula', '-1 + age', '--cohort=-x', '-vv', '-w/tmp/work']
    )
    assert (args.formula, args.cohort, args.verbose, args.work_dir) == (
        '-1 + age',
        '-x',
        2,
        Path('/tmp/work'),
    )
    assert app.parser().parse_args(['b', '--', '--odd', 'participant']).out_dir == Path('--odd')


def test_wrong_choices_and_missing_arguments():
    with refused(options.CHOICE, naming='level everything'):
        app.parser().parse_args(['b', 'o', 'everything'])
    with refused(options.CHOICE, naming='--modality T2'):
        app.parser().parse_args(['b', 'o', 'participant', '--modality', 'T2'])
    with refused(options.USAGE, naming='OUT_DIR'):
        app.parser().parse_args(['b'])
    with refused(options.USAGE, naming='before options that take several values'):
        app.parser().parse_args(['--participant-label', '01', 'b', 'o', 'participant'])
    for option in ('--participant-label', '--match', '-w', '--nprocs'):
        with refused(options.USAGE, naming=option):
            app.parser().parse_args(['b', 'o', 'participant', option])
    with refused(options.USAGE, naming='unrecognized'):
        app.parser().parse_args(['b', 'o', 'participant', 'more\nlines'])


def test_labels_of_all_occurrences_count():
    given = ['--participant-label', '01', '02', '--session-label', 'a', '--participant_label', '03']
    args = app.parser().parse_args(
        ['b', 'o', 'participant', *given, '--size-filters', '1', '--size-filters', '2']
    )
    assert (args.participant_label, args.session_label) == (['01', '02', '03'], ['a'])
    assert args.size_filters == [1, 2]
    fresh = app.parser().parse_args(['b', 'o', 'participant'])
    assert (fresh.participant_label, fresh.size_filters) == ([], [0, 5, 10, 15])


def at_level(tmp_path, level, *arguments):
    (tmp_path / 'bids').mkdir(exist_ok=True)
    return app.main([str(tmp_path / 'bids'), str(tmp_path / 'out'), level, *arguments])


@pytest.mark.parametrize(
    'arguments', [['--participant-label', '01'], ['--session-id', 'a'], ['--bids-filter-file', 'f.json']]
)
def test_the_group_level_takes_no_selection(tmp_path, arguments):
    with refused(options.NOT_AT_GROUP, naming='--'):
        at_level(tmp_path, 'group', *arguments)


@pytest.mark.parametrize('option', ['--dry-run', '--reports-only', '--boilerplate_only'])
def test_the_group_level_does_its_work_or_refuses(tmp_path, monkeypatch, option):
    monkeypatch.setattr(group, 'main', lambda args: pytest.fail('the page would be overwritten'))
    with refused(options.INSTEAD_OF_WORK, naming=option.replace('_', '-'), status=2):
        at_level(tmp_path, 'group', option)


def test_options_without_effect_are_told(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(group, 'main', lambda args: 0)
    given = ['--threshold', '0.3', '--nprocs', '2', '--stop-on-first-crash', '--device', 'cpu']
    compatible = ['--skip-bids-validation', '--notrack', '--clean-workdir']
    assert at_level(tmp_path, 'group', *given, *compatible) == 0
    told = [r.message.split(':')[0] for r in caplog.records]
    assert sorted(told) == ['--device', '--nprocs', '--stop-on-first-crash', '--threshold']
    caplog.clear()
    monkeypatch.setattr('pvs_bidsapp.cli.participant.main', lambda args: 0)
    assert at_level(tmp_path, 'participant', '--cohort', 'sex', '--threshold', '0.3') == 0
    assert [r.message.split(':')[0] for r in caplog.records] == ['--cohort']


def test_options_of_groups_that_do_not_go_together(tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    with refused(options.CONFLICT, naming='--cohort'):
        at_level(tmp_path, 'group', '--cohort', 'sex', '--compare', f'a={other}')
    with refused(options.NEEDS, naming='--match'):
        at_level(tmp_path, 'group', '--match', 'age')
    for entry in ('a', f'={other}', 'a=', 'a=/nowhere'):
        with refused(options.NO_FOLDER, naming='--compare'):
            at_level(tmp_path, 'group', '--compare', entry)
    for entries in ([f'a={other}', '--compare', f'a={other}'], [f'this={other}']):
        with refused(options.COHORT_NAME, naming='--compare'):
            at_level(tmp_path, 'group', '--compare', *entries)


def test_a_model_of_two_channels_without_the_second(tmp_path):
    (tmp_path / 'bids').mkdir()
    with refused(options.MODALITY, naming='m2ss-t1t2'):
        at_level(tmp_path, 'participant', '--model', 'm2ss-t1t2', '--modality', 'T1w', '--dry-run')


@pytest.mark.parametrize(
    ('channels', 'modalities'),
    [
        (('T1w',), ['auto', 'T1w', 'T1w+T2w']),
        (('T1w', 'T2w'), ['auto', 'T1w+T2w']),
        (('T2w',), ['auto', 'T2w']),
    ],
)
def test_which_models_fit_a_modality(channels, modalities):
    assert [m for m in ('auto', 'T1w', 'T1w+T2w', 'T2w') if participant.fits(m, channels)] == modalities


def test_a_plugin_that_is_not_known_is_told_before_the_scans_are_looked_for(tmp_path):
    (tmp_path / 'plugin.yml').write_text('plugin: Slurm')
    with refused(options.PLUGIN_UNKNOWN, naming='SLURM'):
        at_level(tmp_path, 'participant', '--plugin', str(tmp_path / 'plugin.yml'), '--device', 'cpu')
    assert not (tmp_path / 'out').exists()


def test_options_of_heads_have_no_effect_on_real_scans(tmp_path):
    for option, value in (
        ('--label-maps', 'x'),
        ('--n-subjects', '9'),
        ('--sessions', '2'),
        ('--spacing', '1'),
    ):
        with refused(options.CONFLICT, naming=option):
            simulate.main([str(tmp_path / 'o'), '--into', str(tmp_path), option, value])


def test_a_range_of_contrasts_is_for_real_scans_and_begins_with_its_lower_end(tmp_path):
    with refused(options.NEEDS, naming='--contrast'):
        simulate.main([str(tmp_path / 'o'), '--contrast', '0.2', '0.4'])
    with refused(options.RANGE, naming='--contrast 0.4 0.2'):
        simulate.main([str(tmp_path / 'o'), '--into', str(tmp_path), '--contrast', '0.4', '0.2'])
    with refused(options.VALUE, naming='--contrast 1.1'):
        simulate.main([str(tmp_path / 'o'), '--into', str(tmp_path), '--contrast', '0.4', '1.1'])


def test_training_with_values_that_depend_on_each_other(tmp_path):
    for name in ('d', 'm'):
        (tmp_path / name).mkdir()
    folders = [str(tmp_path / 'd'), str(tmp_path / 'm')]
    with refused(options.VALUE, naming='--folds 1'):
        train.main([*folders, '--folds', '1'])
    with refused(options.TOO_MANY_VALUES, naming='--spacing'):
        train.main([*folders, '--spacing', '1', '1', '1'])
    with refused(options.NEEDS, naming='--test'):
        train.main([*folders, '--test', '0.2'])


def test_the_template_s_space_is_named_alike_everywhere():
    assert participant.STANDARD_SPACE == template.SPACE
