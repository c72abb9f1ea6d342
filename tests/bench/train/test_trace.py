import json

from mtlbench.bench.train.trace import STEPS, WARM, write_trace


def test_it_is_of_whole_steps_between_the_first_and_the_last(tmp_path, setting, prepared):
    write_trace(tmp_path / "steps.json", setting, prepared)
    events = json.loads((tmp_path / "steps.json").read_text())["traceEvents"]
    names = [event["name"] for event in events if event.get("ph") == "X"]
    steps = STEPS - WARM - 1
    convolutions = [
        module for module in setting.model().modules() if "Conv2d" in repr(type(module))
    ]
    assert names.count("aten::_fused_adamw_") == steps > 1
    assert names.count("aten::convolution_backward") == steps * len(convolutions)
