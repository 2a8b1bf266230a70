import numpy as np

from pvs_bidsapp.simulation import scanner


def test_shifted_scanners_are_none_of_the_others():
    rng = np.random.default_rng(0)
    shifted = [scanner.draw_scanner(scanner.SUITES['shift'], rng) for _ in range(20)]
    others = [scanner.draw_scanner(scanner.SUITES['mixed'], rng) for _ in range(200)]
    low, high = (f([o.t1w.fluid for o in others]) for f in (min, max))
    assert not any(low <= s.t1w.fluid <= high for s in shifted)
