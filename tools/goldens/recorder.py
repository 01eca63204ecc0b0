"""Runs one case in a real framework, and puts the answer into the case or compares it."""

import re

import numpy as np

from . import compare
from .casefile import CaseError, flow_map, read_tensor, shape_description, tensor_description

INLINE_LIMIT = 256
MESSAGE_LIMIT = 200
RESULTS = ("output", "running_mean", "running_var")


class Rejection:
    """What the framework raised."""

    def __init__(self, error):
        self.exception = type(error).__name__
        lines = str(error).strip().splitlines() or [""]
        text = re.sub(r"-op\d+", "-op0", lines[0].strip())
        text = re.sub(r"\s+", " ", text)
        self.message = text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT - 3].rstrip() + "..."


def answer(case, engine):
    """A Rejection, or a list of {name: array} for each call, with `batch_statistics` where they were used."""
    try:
        layer = engine.make(case.operator, case.params)
    except Exception as error:  # noqa: BLE001: whatever the framework raises is the answer
        return Rejection(error)
    for name, values in case.tensors().items():
        try:
            engine.set_tensor(layer, name, values)
        except ValueError as error:
            raise CaseError(f"{case.id}: {error}") from error
    results = []
    for mode, inputs, _ in case.calls():
        if inputs is None:
            raise CaseError(f"{case.id}: the constructor takes this case, and it has no input")
        before = engine.statistics(layer)
        try:
            output = engine.call(layer, None if mode is None else str(mode), inputs, case.layout)
        except Exception as error:  # noqa: BLE001
            return Rejection(error)
        after = engine.statistics(layer)
        changed = any(not np.array_equal(before[name], after[name], equal_nan=True) for name in after)
        results.append({"output": output, **after, "keep_statistics": changed or engine.is_training(layer),
                        "batch_statistics": changed or engine.is_training(layer) or not after})
    return results


def tolerances(case, inputs, result):
    """{name: how far another CPU's value may lie}: a number, or an array that broadcasts."""
    tensors = case.tensors()
    if case.operator == "nn.Conv2d":
        weight, bias = tensors.get("weight"), tensors.get("bias")
        if weight is None or compare.convolution_is_exact(inputs, weight, bias):
            return {"output": 0.0}
        return {"output": compare.ROUNDINGS * compare.UNIT * compare.convolution_sum(inputs, weight, bias)}
    if inputs.ndim != 4 or inputs.size == 0:
        return {name: 0.0 for name in RESULTS}
    eps = case.params.get("eps", 1e-5)
    scales = compare.batchnorm_scales(inputs, tensors, float(eps), result)
    return {name: compare.ROUNDINGS * compare.UNIT * scale for name, scale in scales.items()}


def mismatch(case, expect, name, result, tolerance):
    """Why an expectation and the engine's answer differ, or None."""
    described = expect[name]
    new = result[name]
    old = read_tensor(described, name, case.folder)
    if old is None:
        shape = tuple(int(extent) for extent in described["shape"])
        return None if shape == new.shape else f"{name}: shape {list(shape)}, the engine gives {list(new.shape)}"
    if compare.agree(old, new, tolerance):
        return None
    if old.shape != new.shape:
        return f"{name}: shape {list(old.shape)}, the engine gives {list(new.shape)}"
    with np.errstate(invalid="ignore"):
        bad = ~((old == new) | (np.isnan(old) & np.isnan(new)) | (np.abs(old.astype(float) - new) <= tolerance))
    index = int(np.flatnonzero(bad.reshape(-1))[0])
    return f"{name}[{index}]: {old.reshape(-1)[index]!r}, the engine gives {new.reshape(-1)[index]!r}"


def names_to_record(expect, result):
    """The results that a case keeps: the output, and statistics that the call could change or the case names."""
    return [name for name in RESULTS if name in result and
            (name == "output" or result["keep_statistics"] or name in expect)]


def record_rejection(case, node, rejection):
    """Writes the exception; the rule is its author's. Returns whether something changed."""
    expect = node["expect"]
    if "rejected" not in expect:
        raise CaseError(f"{case.id}: the case expects an answer, {case.source} raises {rejection.exception}: "
                        f"{rejection.message}")
    old = expect["rejected"] or {}
    new = flow_map(**{key: old[key] for key in old if key == "rule"})
    new["exception"], new["message"] = rejection.exception, rejection.message
    if dict(old) == dict(new):
        return False
    expect["rejected"] = new
    return True


def record_call(case, node, inputs, result):
    """Writes the answer of one call; keeps each old value that agrees. Returns whether something changed."""
    expect = node["expect"]
    if "rejected" in expect:
        raise CaseError(f"{case.id}: the case expects a rejection, {case.source} answers with the shape "
                        f"{list(result['output'].shape)}")
    changed = False
    allowed = tolerances(case, inputs, result)
    for name in names_to_record(expect, result):
        if name in expect and mismatch(case, expect, name, result, allowed[name]) is None:
            continue
        if name in expect and "npy" in expect[name]:
            np.save(case.folder / str(expect[name]["npy"]), result[name])
        elif name in expect and "values" not in expect[name] or result[name].size > INLINE_LIMIT:
            expect[name] = shape_description(result[name].shape)
        else:
            expect[name] = tensor_description(result[name])
        changed = True
    return changed


def record(case, engine):
    """Brings a case's expectations up to date. Returns whether something changed."""
    for _, _, node in case.calls():
        if "expect" not in node:
            raise CaseError(f"{case.id}: a call without `expect`")
    result = answer(case, engine)
    calls = case.calls()
    if isinstance(result, Rejection):
        return record_rejection(case, calls[-1][2], result)
    changes = [record_call(case, node, inputs, found) for (_, inputs, node), found in zip(calls, result)]
    return any(changes)


def check_rejection(case, expect, rejection):
    """Why an expected rejection and the raised one differ, or None."""
    if "rejected" not in expect:
        return f"the engine raises {rejection.exception}: {rejection.message}"
    wanted = (expect["rejected"] or {}).get("exception")
    if wanted is not None and wanted != rejection.exception:
        return f"exception {wanted}, the engine raises {rejection.exception}"
    message = (expect["rejected"] or {}).get("message")
    if case.source.startswith(("PyTorch", "MindSpore")) and message is not None and message != rejection.message:
        return f"message {message!r}, the engine says {rejection.message!r}"
    return None


def observed_of(case, engine):
    """What the case says that this engine answers, where it answers wrongly."""
    for entry in case.node.get("upstream", []) or []:
        if str(entry["engine"]) == engine.NAME:
            return entry.get("observed")
    return None


def check(case, engine):
    """Each difference between a case and the engine's answer, as text."""
    result = answer(case, engine)
    calls = case.calls()
    observed = observed_of(case, engine)
    if isinstance(result, Rejection):
        reason = check_rejection(case, observed or calls[-1][2]["expect"], result)
        return [reason] if reason else []
    reasons = []
    for (_, inputs, node), found in zip(calls, result):
        expect = observed or node["expect"]
        if "rejected" in expect:
            return [f"a rejection is expected, the engine answers with the shape {list(found['output'].shape)}"]
        allowed = tolerances(case, inputs, found)
        for name in [name for name in RESULTS if name in expect]:
            if name not in found:
                reasons.append(f"{name}: the engine has none")
                continue
            reason = mismatch(case, expect, name, found, allowed[name])
            if reason:
                reasons.append(reason)
        if case.recorded_by(engine.NAME):
            reasons += [f"{name}: not recorded" for name in names_to_record(expect, found) if name not in expect]
    return reasons
