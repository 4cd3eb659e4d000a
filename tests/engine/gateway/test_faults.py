"""What clients of the gateway see while a part of it fails: the measurement of it, short."""

from bench import gateway_faults


def test_no_request_is_lost_while_one_engine_the_stable_release_and_the_gateway_are_well():
    seen = gateway_faults.measure(quick=True)
    assert set(seen) == set(gateway_faults.QUICK_FAULTS)
    for name, each in seen.items():
        assert each.requests > 0, name
        # A stream that had begun may end with an error, never without a word.
        assert (each.lost, each.cut) == (0, 0), (name, each.errors)
