"""LSTM-SSD: an object detector that carries its state from frame to frame, all in uint8."""

from __future__ import annotations

import cv2

from sides.side import Facts, Frame, Given, Side, count_macs, peer_file
from sides.tensors import reset

_FILE = "lstm_ssd_traffic.tflite"
_STATES = {
    "raw_inputs/init_lstm_c": "raw_outputs/lstm_c",
    "raw_inputs/init_lstm_h": "raw_outputs/lstm_h",
}
_IMAGE, _CLASSES = "normalized_input_image_tensor", "TFLite_Detection_PostProcess:1"


class LstmSsd(Side):
    """Its label is the class of the detection that is most probable."""

    def prepare(self, given: Given, threads: int | None) -> Facts:
        from ai_edge_litert.interpreter import Interpreter

        model = peer_file(given, _FILE).read_bytes()
        self._interpreter = interpreter = Interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
        inputs = {each["name"]: each for each in interpreter.get_input_details()}
        outputs = {each["name"]: each["index"] for each in interpreter.get_output_details()}
        self._image = inputs[_IMAGE]["index"]
        _, height, width, _ = inputs[_IMAGE]["shape"]
        self._size = int(width), int(height)
        self._classes = interpreter.tensor(outputs[_CLASSES])
        self._states = []
        for before, after in _STATES.items():
            interpreter.set_tensor(inputs[before]["index"], reset(inputs[before]))
            self._states.append((inputs[before]["index"], interpreter.tensor(outputs[after])))
        macs, uncounted = count_macs(model)
        return Facts(
            task="detection of traffic",
            bytes=len(model),
            macs=macs,
            uncounted=uncounted,
            accuracy_source="none published for this file",
        )

    def step(self, frame: Frame) -> int:
        interpreter = self._interpreter
        small = cv2.resize(frame, self._size, interpolation=cv2.INTER_LINEAR)
        interpreter.set_tensor(self._image, small[None])
        interpreter.invoke()
        for index, following in self._states:
            interpreter.set_tensor(index, following())
        return int(self._classes()[0, 0])
