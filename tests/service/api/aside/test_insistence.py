from cellserve.service.api.aside.insistence import Insistence


def test_one_follows_another_a_second_later_and_takes_two_per_cent_of_the_time() -> None:
    insistence = Insistence()
    assert insistence.due(5.0)
    insistence.took(5.0, 0.001)
    assert not insistence.due(5.9)
    assert insistence.due(6.0)
    insistence.took(6.0, 0.1)
    assert not insistence.due(10.9)
    assert insistence.due(11.0)
