"""The flight recorder: the last seconds of a run, written when something happens.

recorder = FlightRecorder("tapes")
recorder.attach(stream)
run(source, stream, [recorder])
...
replay(read_tape("tapes/….edgetape"), model).equal
"""
