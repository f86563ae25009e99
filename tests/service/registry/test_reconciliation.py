import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.reconciliation import Action, Load, Unload, fallbacks, held_versions, next_action
from cellserve.service.registry.status import VersionState

UNKNOWN, LOADING, READY, UNLOADING, FAILED, UNLOADED = VersionState
A1, A2, A3 = (VersionKey("a", version) for version in (1, 2, 3))
B1 = VersionKey("b", 1)


@pytest.mark.parametrize(
    ("wanted", "states", "action"),
    [
        ({}, {}, None),
        ({A1}, {}, Load(A1)),
        ({A1}, {A1: UNKNOWN}, Load(A1)),
        ({A1}, {A1: UNLOADED}, Load(A1)),
        ({A1}, {A1: LOADING}, None),
        ({A1}, {A1: READY}, None),
        ({A1}, {A1: UNLOADING}, Load(A1)),
        ({A1}, {A1: FAILED}, None),
        ({}, {A1: READY}, Unload(A1)),
        ({}, {A1: UNLOADED}, None),
        ({}, {A1: UNLOADING}, None),
        ({}, {A1: LOADING}, None),
        ({}, {A1: FAILED}, None),
        ({A2}, {A1: READY, A2: UNKNOWN}, Load(A2)),
        ({A2}, {A1: READY, A2: LOADING}, None),  # new before old
        ({A2}, {A1: READY, A2: READY}, Unload(A1)),
        ({A2}, {A1: READY, A2: FAILED}, Unload(A1)),  # whoever wants the old one kept says so, by wanting it
        ({A1, A2}, {A1: READY, A2: FAILED}, None),
        ({A1, A2, A3}, {}, Load(A3)),  # the newest first
        ({A2, B1}, {A2: LOADING, A1: READY, B1: READY}, None),
        ({A2}, {A2: LOADING, A1: READY, B1: READY}, Unload(B1)),  # another model's load holds nobody
        ({A1}, {B1: READY}, Load(A1)),
    ],
)
def test_next_action(wanted: set[VersionKey], states: dict[VersionKey, VersionState], action: Action | None) -> None:
    assert next_action(frozenset(wanted), states) == action


keys = st.builds(VersionKey, st.sampled_from(["a", "b"]), st.integers(1, 4))


@given(st.frozensets(keys), st.dictionaries(keys, st.sampled_from(VersionState)))
def test_following_the_plan_ends_with_what_is_wanted_and_never_uncovers_a_model(
    wanted: frozenset[VersionKey], states: dict[VersionKey, VersionState]
) -> None:
    states = {key: READY if state is LOADING else UNLOADED if state is UNLOADING else state for key, state in states.items()}
    for _ in range(50):
        action = next_action(wanted, states)
        if action is None:
            break
        if isinstance(action, Unload):
            assert not [key for key in wanted if key.model == action.key.model and states[key] not in (READY, FAILED)]
        states[action.key] = READY if isinstance(action, Load) else UNLOADED
    assert next_action(wanted, states) is None
    assert {key for key, state in states.items() if state is READY} == {key for key in wanted if states[key] is not FAILED}


@pytest.mark.parametrize(
    ("target", "live", "states", "held"),
    [
        (A2, None, {}, set()),
        (A2, A1, {A1: READY, A2: LOADING}, {A1}),
        (A2, A1, {A1: READY, A2: FAILED}, {A1}),
        (A2, A1, {A1: READY, A2: READY}, set()),
        (A1, A1, {A1: READY}, set()),
    ],
)
def test_held_versions(
    target: VersionKey, live: VersionKey | None, states: dict[VersionKey, VersionState], held: set[VersionKey]
) -> None:
    pointer = ("a", "stable")
    assert held_versions({pointer: target}, {pointer: live} if live else {}, states) == held


@pytest.mark.parametrize(
    ("target", "answered", "states", "found"),
    [
        (A2, [1], {A2: READY}, None),
        (A2, [1], {}, None),  # not tried yet
        (A2, [1], {A2: FAILED}, A1),
        (A2, [2, 1], {A2: FAILED}, A1),  # it has served once itself
        (A3, [2, 1], {A3: FAILED, A2: FAILED}, A1),  # the last but one
        (A3, [2, 1], {A3: FAILED}, A2),
        (A2, [], {A2: FAILED}, None),  # never guess
        (A2, [7], {A2: FAILED}, None),  # no longer published
        (VersionKey("a", 9), [1], {}, A1),  # it does not exist
    ],
)
def test_a_target_that_cannot_serve_is_stood_in_for_by_the_last_that_served(
    target: VersionKey, answered: list[int], states: dict[VersionKey, VersionState], found: VersionKey | None
) -> None:
    pointer = ("a", "stable")
    expected = {} if found is None else {pointer: found}
    assert fallbacks({pointer: target}, {pointer: answered}, states, {A1, A2, A3}) == expected
