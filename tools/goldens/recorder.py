"""Runs one case in a real framework, and puts the answer into the case or compares it."""

import re
from copy import copy

import numpy as np

from . import compare
from .casefile import CaseError, flow_map, read_tensor, shape_description, tensor_description
from .numbers import Tensor

INLINE_LIMIT = 256
MESSAGE_LIMIT = 200
STATISTICS = ("running_mean", "running_var")
RESULTS = ("output", *STATISTICS, "grad_input", "grad_weight", "grad_bias")
OF_INPUT_TYPE = ("output", "grad_input")


class Rejection:
    """What the framework raised."""

    def __init__(self, error):
        self.exception = type(error).__name__
        lines = str(error).strip().splitlines() or [""]
        text = re.sub(r"-op\d+", "-op0", lines[0].strip())
        text = re.sub(r"\s+", " ", text)
        self.message = text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT - 3].rstrip() + "..."


class Answer:
    """What the framework computed in one call: `results` by name, and `tolerances` for another CPU's."""

    def __init__(self, results, tolerances, keeps_statistics):
        self.results, self.tolerances, self.keeps_statistics = results, tolerances, keeps_statistics

    def names_to_record(self, expect):
        """What a case keeps: all results but statistics that the call could not change and the case does not name."""
        return [name for name in RESULTS if name in self.results and
                (name not in STATISTICS or self.keeps_statistics or name in expect)]

    def shape(self):
        """The output's shape, as text."""
        return str(list(self.results["output"].values.shape))


def prepare(case, engine, layer, step):
    """Does to the layer what stands in a step before its call."""
    try:
        if step.reset:
            engine.reset(layer)
        for name, value in step.params.items():
            engine.assign(layer, name, value)
        for name, tensor in step.tensors.items():
            engine.load(layer, name, tensor)
    except ValueError as error:
        raise CaseError(f"{case.id}: {error}") from error


def convolution_shape(case, params, inputs):
    """What the tolerances of a convolution need of its parameters; an operator without a number of axes has the input's."""
    axes = re.search(r"\d", case.operator)
    return {"transposed": "transpose" in case.operator.lower(), "groups": int(params.get("groups", params.get("group")) or 1),
            "spatial": int(axes.group()) if axes else inputs.ndim - 2,
            "repeats": params.get("padding_mode", "zeros") != "zeros"}


def tolerances(case, params, step, own, batch_statistics, engine):
    """{name: how far another CPU's value may lie}: a number, or an array that broadcasts. An engine whose tensors have their
    axes in another order says so."""
    if hasattr(engine, "as_operator"):
        own = {name: Tensor(tensor.type, engine.as_operator(case, name, tensor.values)) for name, tensor in own.items()}
        step = copy(step)
        step.input = Tensor(step.input.type, engine.as_operator(case, "input", step.input.values))
        if step.grad_output is not None:
            step.grad_output = Tensor(step.grad_output.type, engine.as_operator(case, "grad_output", step.grad_output.values))
        found = ordered_tolerances(case, params, step, own, batch_statistics)
        return {name: engine.as_function(case, tolerance) for name, tolerance in found.items()}
    return ordered_tolerances(case, params, step, own, batch_statistics)


def ordered_tolerances(case, params, step, own, batch_statistics):
    """The same of tensors in the operator's order."""
    inputs = step.input.values
    gradient = None if step.grad_output is None else step.grad_output.values
    kinds = {name: result_type(case, step, name) for name in RESULTS}
    if "conv" in case.operator.lower():
        weight, bias = own["weight"].values, own["bias"].values if "bias" in own else None
        return compare.convolution_tolerances(convolution_shape(case, params, inputs), inputs, weight, bias, gradient,
                                              kinds["output"])
    if inputs.size == 0:
        return {name: 0.0 for name in RESULTS}
    own = {name: tensor.values.astype(np.float64) for name, tensor in own.items()}
    eps = params.get("eps", params.get("epsilon"))
    eps = 1e-5 if eps is None else float(eps)
    return compare.batchnorm_tolerances(inputs, own, eps, batch_statistics, gradient, kinds)


def result_type(case, step, name):
    """The type in which the format reads a result."""
    return step.input.type if name in OF_INPUT_TYPE else case.layer_type()


def check_types(case, step, results):
    """The framework answers in the types in which the format reads."""
    for name, tensor in results.items():
        kind = result_type(case, step, name)
        if tensor.type != kind:
            raise CaseError(f"{case.id}: {case.source} answers {name} in {tensor.type}, a case states it in {kind}")


def call(case, engine, layer, params, step):
    """An Answer, or a Rejection."""
    own = engine.tensors(layer)
    try:
        results = engine.call(layer, step.mode, step.input, step.grad_output, case.layout)
    except CaseError as error:
        raise CaseError(f"{case.id}: {error}") from error
    except Exception as error:  # noqa: BLE001: whatever the framework raises is the answer
        return Rejection(error)
    after = engine.tensors(layer)
    statistics = {name: after[name] for name in STATISTICS if name in after}
    changed = any(name in own and not np.array_equal(own[name].values, tensor.values, equal_nan=True)
                  for name, tensor in statistics.items())
    check_types(case, step, {**results, **statistics})
    keeps = changed or engine.is_training(layer)
    exact = getattr(engine, "EXACT", False)
    own = {**after, **own}  # a layer may make its tensors in its first call
    allowed = dict.fromkeys(RESULTS, 0.0) if exact else tolerances(case, params, step, own, keeps or not statistics, engine)
    return Answer({**results, **statistics}, allowed, keeps)


def answers(case, engine):
    """(step, Answer or Rejection) of each call, in turn."""
    layer = refusal = None
    params = dict(case.params)
    for step in case.steps():
        if layer is None and refusal is None:
            try:
                layer = engine.make(case.operator, case.params, case.layer_type())
            except CaseError as error:
                raise CaseError(f"{case.id}: {error}") from error
            except Exception as error:  # noqa: BLE001
                refusal = Rejection(error)
            else:
                load_all(case, engine, layer)
        if refusal is not None:
            yield step, refusal
            continue
        prepare(case, engine, layer, step)
        params.update(step.params)
        if step.input is None:
            raise CaseError(f"{case.id}: the constructor takes this case, and it has no input")
        yield step, call(case, engine, layer, params, step)


def load_all(case, engine, layer):
    """Loads the case's own tensors into a new layer."""
    for name, tensor in case.tensors().items():
        try:
            engine.load(layer, name, tensor)
        except ValueError as error:
            raise CaseError(f"{case.id}: {error}") from error


def mismatch(case, expect, name, answer):
    """Why an expectation and the engine's answer differ, or None."""
    described, new = expect[name], answer.results[name]
    old = read_tensor(described, name, case.folder, new.type)
    shape = tuple(int(extent) for extent in described["shape"]) if old is None else old.values.shape
    if shape != new.values.shape:
        return f"{name}: shape {list(shape)}, the engine gives {list(new.values.shape)}"
    if old is None:
        return None
    bad = compare.apart(old.values, new.values, answer.tolerances[name])
    if not np.any(bad):
        return None
    index = int(np.flatnonzero(bad.reshape(-1))[0])
    return f"{name}[{index}]: {old.values.reshape(-1)[index]!r}, the engine gives {new.values.reshape(-1)[index]!r}"


def record_rejection(case, node, rejection):
    """Writes the exception; the rule is its author's. Returns whether something changed."""
    expect = node["expect"]
    if "rejected" not in expect:
        raise CaseError(f"{case.id}: the case expects an answer, {case.source} raises {rejection.exception}: "
                        f"{rejection.message}")
    old = expect["rejected"] or {}
    new = flow_map(**{key: old[key] for key in old if key == "rule"})
    new["exception"] = rejection.exception
    if rejection.message:
        new["message"] = rejection.message
    if dict(old) == dict(new):
        return False
    expect["rejected"] = new
    return True


def record_call(case, node, answer):
    """Writes the answer of one call; keeps each old value that agrees. Returns whether something changed."""
    expect = node["expect"]
    if "rejected" in expect:
        raise CaseError(f"{case.id}: the case expects a rejection, {case.source} answers with the shape "
                        f"{answer.shape()}")
    changed = False
    for name in answer.names_to_record(expect):
        if name in expect and mismatch(case, expect, name, answer) is None:
            continue
        result = answer.results[name]
        if name in expect and "npy" in expect[name]:
            np.save(case.folder / str(expect[name]["npy"]), result.values)
        elif name in expect and "values" not in expect[name] or result.values.size > INLINE_LIMIT:
            expect[name] = shape_description(result.values.shape)
        else:
            expect[name] = tensor_description(result)
        changed = True
    return changed


def record(case, engine):
    """Brings a case's expectations up to date. Returns whether something changed."""
    if any("expect" not in node for node in case.nodes()):
        raise CaseError(f"{case.id}: a call without `expect`")
    changed = False
    for step, answer in answers(case, engine):
        write = record_rejection if isinstance(answer, Rejection) else record_call
        changed = write(case, step.node, answer) or changed
    return changed


def record_observed(case, engine):
    """Fills the empty `observed` of what the case notes that this engine answers wrongly: how its last call differs from
    what is expected. Returns whether there was one."""
    notes = [entry for entry in case.node.get("upstream", []) or []
             if str(entry["engine"]) == engine.NAME and not entry.get("observed")]
    for entry in notes:
        step, answer = list(answers(case, engine))[-1]
        expect, node = step.node["expect"], {"expect": flow_map()}
        if isinstance(answer, Rejection):
            node["expect"]["rejected"] = None
            record_rejection(case, node, answer)
        else:
            answer.results = {name: answer.results[name] for name in answer.names_to_record(expect)
                              if name not in expect or mismatch(case, expect, name, answer)}
            record_call(case, node, answer)
        if not node["expect"]:
            raise CaseError(f"{case.id}: {engine.NAME} is noted to be wrong, and agrees")
        entry["observed"] = node["expect"]
    return bool(notes)


def check_rejection(case, expect, rejection):
    """Why an expected rejection and the raised one differ, or None."""
    if "rejected" not in expect:
        return f"the engine raises {rejection.exception}: {rejection.message}"
    wanted = (expect["rejected"] or {}).get("exception")
    if wanted is not None and wanted != rejection.exception:
        return f"exception {wanted}, the engine raises {rejection.exception}"
    message = (expect["rejected"] or {}).get("message")
    recorded = case.source.startswith(("PyTorch", "MindSpore", "ONNX Runtime"))
    if recorded and message is not None and message != rejection.message:
        return f"message {message!r}, the engine says {rejection.message!r}"
    return None


def observed_of(case, engine):
    """What the case says that this engine answers, where it answers wrongly."""
    for entry in case.node.get("upstream", []) or []:
        if str(entry["engine"]) == engine.NAME:
            return entry.get("observed")
    return None


def check_call(case, expect, answer, engine):
    """Each difference between what one call is said to compute and the engine's answer, as text."""
    if isinstance(answer, Rejection):
        reason = check_rejection(case, expect, answer)
        return [reason] if reason else []
    if "rejected" in expect:
        return [f"a rejection is expected, the engine answers with the shape {answer.shape()}"]
    reasons = [f"{name}: the engine has none" for name in RESULTS if name in expect and name not in answer.results]
    reasons += [mismatch(case, expect, name, answer) for name in RESULTS if name in expect and name in answer.results]
    if case.recorded_by(engine.NAME):
        reasons += [f"{name}: not recorded" for name in answer.names_to_record(expect) if name not in expect]
    return [reason for reason in reasons if reason]


def check(case, engine):
    """Each difference between a case and the engine's answer, as text. Where the engine is noted to answer otherwise, that
    is its last call's answer."""
    observed = observed_of(case, engine)
    if observed is not None:
        return check_call(case, observed, list(answers(case, engine))[-1][1], engine)
    if not getattr(engine, "REFUSES", True) and "rejected" in case.nodes()[-1]["expect"]:
        return []
    return [reason for step, answer in answers(case, engine)
            for reason in check_call(case, step.node["expect"], answer, engine)]
