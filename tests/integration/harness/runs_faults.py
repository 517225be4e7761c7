"""What may happen to a run at its provider, and what is right then: for
test_runs_faults.py, and for tests/faults."""

TERMINAL = ("completed", "failed", "cancelled", "timed_out")
AMBIGUOUS = [
    "cut", "cut+", "500", "500+", "502+", "504", "301+", "html", "html+",
    "garbage+", "empty", "empty+", "hang", "hang+",
]
NOT_ARRIVED = ["429", "503"]
BAD_ANSWERS = ["cut", "429", "500", "garbage", "html", "401", "hang"]
# Ends that are our own judgement of what the provider has not told.
GIVEN_UP = ("submission_unknown", "result_lost", "result_expired", "run_deadline")


def make_plan(rng):
    """What happens to a job at the provider: 30 % of the webhooks are dropped,
    doubled, empty or late."""
    plan = {"takes": rng.uniform(0, 0.4)}
    if rng.random() < 0.3:
        way = rng.choice(["drop", "double", "empty", "late"])
        plan |= {"late": rng.uniform(0.2, 1)} if way == "late" else {"webhook": way}
    if rng.random() < 0.25:
        plan["run"] = [rng.choice(AMBIGUOUS)]
    elif rng.random() < 0.2:
        plan["run"] = rng.choices(NOT_ARRIVED, k=rng.randint(1, 3))
    elif rng.random() < 0.05:
        plan["run"] = ["400"]
    if rng.random() < 0.2:
        plan["status"] = rng.choices(BAD_ANSWERS, k=rng.randint(1, 2))
    if rng.random() < 0.2:
        plan["ends"] = rng.choice(["FAILED", "TIMED_OUT", "lost"])
    return plan


def check_steps(steps, run, at_provider):
    """The rules of a run's states, of which `unknown` is the point: it is
    never sent again, and what was being sent is either known to be nowhere,
    known to be there, or unknown."""
    follows = {
        "waiting": {"submitting", "ended"},
        "submitting": {"waiting", "submitted", "unknown", "ended"},
        "unknown": {"submitted", "ended"},
        "submitted": {"ended"},
    }
    states = [step.state for step in steps]
    assert states[0] == "waiting", states
    for before, after in zip(states, states[1:]):
        assert after in follows[before], states
    assert states[-1] == "ended", states
    if at_provider and run["external_id"] is None:
        assert "unknown" in states, (run, states)
    if run["error"] == "submission_unknown":
        assert states[-2] == "unknown", (run, states)


def outcome_is_right(group, job, run, at_provider, last):
    """What the page was told, against what the provider knows. The group has
    the `plans` of its jobs, and which of them are `cancelled`."""
    statuses = {job["status"] for job in at_provider}
    if last == "completed":
        return "COMPLETED" in statuses
    if last == "cancelled":
        return job in group.cancelled and not statuses - {"CANCELLED"}
    if run["error"] == "submission_unknown":
        plan = group.plans[job]
        is_told = plan.get("webhook", "send") in ("send", "double")
        return run["external_id"] is None or not is_told
    if run["error"] in ("provider_refused", "provider_unreachable"):
        return not at_provider
    if run["error"] == "result_lost":
        return group.plans[job].get("ends") == "lost"
    if last == "failed":
        return "FAILED" in statuses
    return statuses & {"TIMED_OUT"} or group.plans[job].get("ends") == "lost"
