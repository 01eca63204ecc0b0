"""Programs that an engine is known to answer wrongly, by the case in cases/ that records it (`convbn upstream`)."""

import re

KNOWN = [
    ("onnx", r"'Conv', .*auto_pad='SAME_\w+'.*dilations=\[[^]]*[2-9]", "onnx/conv/same-upper-dilated"),
    ("onnx", r"'ConvTranspose', .*auto_pad='SAME_", "onnx/convtranspose/same-grows"),
    ("mindspore", r"= mindspore\.mint\.", "mindspore/mint-conv2d/groups-bias"),
    ("mindspore", r"Conv2dTranspose\(.*output_padding=", "mindspore/conv2dtranspose/output-padding-uncrops"),
]


def known_case(engine, code):
    """The case that says that the engine answers this program wrongly; None."""
    return next((case for name, pattern, case in KNOWN if name == engine and re.search(pattern, code)), None)
