import numpy as np

from pvs_bidsapp.simulation.subjects import plan, rate


def test_more_subjects_do_not_change_the_earlier_ones():
    few, many = plan(3, [], 7, sites=2), plan(6, [], 7, sites=2)
    assert many[:3] == few
    assert {s.site for s in many} <= {1, 2}
    assert plan(1, [], 8)[0].seed != few[0].seed


def test_a_reliable_rater_follows_the_count():
    rng = np.random.default_rng(0)
    counts = rng.lognormal(4.1, 0.95, 400).astype(int)
    grades = {r: [rate(int(c), r, rng) for c in counts] for r in (1.0, 0.5)}
    assert set(grades[1.0]) == {0, 1, 2, 3}
    ordered = np.array(grades[1.0])[np.argsort(counts, kind='stable')]
    assert (np.diff(ordered) >= 0).all()
    correlation = np.corrcoef(np.log1p(counts), grades[0.5])[0, 1]
    assert 0.3 < correlation < 0.65
