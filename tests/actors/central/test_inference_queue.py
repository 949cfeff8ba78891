"""InferenceQueue as a plain object: who waits for whom, and what forms a batch."""

import numpy as np
import pytest

from acmelike.actors.central.inference_queue import InferenceQueue, RequestId
from acmelike.core import start
from acmelike.errors import ContractError, NotReady
from acmelike.types import VectorStep


def step(num_envs=2):
    scalars = np.zeros(num_envs, np.float32)
    return VectorStep(np.zeros(num_envs, np.int8), scalars, scalars, scalars)


def ask(requests, actor, *, incarnation=0, number=0, num_envs=2):
    """Returns the request and the future of its actions."""
    request_id = RequestId(actor, incarnation, number)
    requests.observe(request_id, step(num_envs))
    return request_id, start(requests.actions, request_id)


def request_ids(batch):
    return [request.id for request in batch]


def test_nobody_gets_actions_before_an_answer():
    requests = InferenceQueue(num_actors=2, batch_size=4)
    first, first_action = ask(requests, 0)
    second, second_action = ask(requests, 1)
    assert request_ids(requests.due_batch()) == [first, second]
    requests.answer([second], [np.array([3, 4])])
    assert second_action.done() and not first_action.done()
    np.testing.assert_array_equal(second_action.result(), [3, 4])
    with pytest.raises(NotReady, match="actor 0 waits for actions; 0 environments of"):
        first_action.result()


def test_an_answer_is_of_one_request():
    requests = InferenceQueue(num_actors=1, batch_size=2)
    request_id, _ = ask(requests, 0)
    requests.answer(request_ids(requests.batch()), ["the first"])
    assert requests.actions(request_id) == requests.actions(request_id) == "the first"
    later, action = ask(requests, 0, number=1)
    assert not action.done()
    requests.answer([request_id], ["too late"])
    assert not action.done()
    requests.answer([later], ["the second"])
    assert action.result() == "the second"


def test_what_is_said_twice_is_one_request():
    requests = InferenceQueue(num_actors=2, batch_size=4)
    request_id, _ = ask(requests, 0)
    ask(requests, 0)
    assert request_ids(requests.batch()) == [request_id]
    requests.answer([request_id], ["an action"])
    assert ask(requests, 0)[1].result() == "an action"
    with pytest.raises(NotReady, match="no actor waits"):
        requests.batch()


def test_an_actor_that_begins_anew_takes_the_place_of_what_it_was():
    requests = InferenceQueue(num_actors=2, batch_size=100)
    old, old_action = ask(requests, 0, incarnation=1, number=7)
    new, new_action = ask(requests, 0, incarnation=2)
    assert request_ids(requests.batch()) == [new]
    requests.answer([old], ["of the old one"])
    assert not new_action.done()
    with pytest.raises(ContractError, match=r"number=7.* is not the latest"):
        old_action.result()


def test_nothing_is_due_while_more_can_come():
    requests = InferenceQueue(num_actors=3, batch_size=5)
    with pytest.raises(NotReady, match="no actor waits for actions"):
        requests.wait_for_request()
    ask(requests, 0)
    requests.wait_for_request()
    ask(requests, 1)
    with pytest.raises(NotReady, match="4 environments of 2 of 3 actors wait; 5 are"):
        requests.due_batch()
    ask(requests, 2, num_envs=1)
    assert len(requests.due_batch()) == 3
    with pytest.raises(NotReady):
        requests.due_batch()


def test_a_batch_is_no_larger_than_its_size_and_the_oldest_are_first():
    requests = InferenceQueue(num_actors=5, batch_size=4)
    first = [ask(requests, actor)[0] for actor in (3, 1, 4, 0, 2)]
    assert request_ids(requests.due_batch()) == first[:2]
    # Those answered ask again at once, and those left are before them.
    requests.answer(first[:2], [3, 1])
    again = [ask(requests, actor, number=1)[0] for actor in (1, 3)]
    assert request_ids(requests.due_batch()) == first[2:4]
    assert request_ids(requests.batch()) == [first[4], again[0]]
    with pytest.raises(NotReady, match="2 environments of 1 of 5 actors wait; 4 are"):
        requests.due_batch()
    assert request_ids(requests.batch()) == [again[1]]
    found = requests.statistics()
    assert (found.num_by_size, found.num_by_time, found.num_by_all) == (3, 1, 0)
    assert (found.largest, found.num_environments) == (4, 14)


def test_a_request_is_not_split():
    requests = InferenceQueue(num_actors=2, batch_size=3)
    request_id, _ = ask(requests, 0, num_envs=8)
    ask(requests, 1, num_envs=1)
    assert request_ids(requests.due_batch()) == [request_id]
    assert len(requests.batch()) == 1


def test_whoever_begins_anew_waits_behind_those_before():
    requests = InferenceQueue(num_actors=3, batch_size=2)
    ask(requests, 0, incarnation=1)
    other, _ = ask(requests, 1)
    new, _ = ask(requests, 0, incarnation=2)
    assert request_ids(requests.due_batch()) == [other]
    assert request_ids(requests.due_batch()) == [new]


def test_how_batches_formed_is_counted():
    requests = InferenceQueue(num_actors=3, batch_size=4)
    ask(requests, 0)
    ask(requests, 1)
    requests.due_batch()  # Enough.
    ask(requests, 0, number=1)
    requests.batch()  # Not enough.
    for actor in range(3):
        ask(requests, actor, number=2, num_envs=1)
    requests.due_batch()  # Not enough either, but all.
    found = requests.statistics()
    assert (found.num_by_size, found.num_by_time, found.num_by_all) == (1, 1, 1)
    assert (found.num_batches, found.num_environments, found.largest) == (3, 9, 4)
    assert found.mean_size == 3
    assert InferenceQueue(num_actors=1, batch_size=1).statistics().mean_size == 0
