"""What the examples in lockstep.py do not show, against the service on $LOCKSTEP_SOCKET: the simulator's."""

import doctest
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import lockstep
from lockstep import Busy, ConnectionLost, Lockstep, LockstepError, MoveFailed, NoService, Refused, TimedOut


def here(*names):
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), *names)


class Examples(unittest.TestCase):
    def test_the_file(self):
        result = doctest.testmod(lockstep)
        self.assertEqual(result.failed, 0)
        self.assertGreater(result.attempted, 30)

    def test_the_read_me(self):
        result = doctest.testfile(here("README.md"), module_relative=False)
        self.assertEqual(result.failed, 0)
        self.assertGreater(result.attempted, 5)

    def test_every_method_says_what_it_does(self):
        for name in lockstep.__all__:
            thing = getattr(lockstep, name)
            self.assertTrue(thing.__doc__, name)
            for method, value in vars(thing).items() if isinstance(thing, type) else ():
                if callable(value) and not method.startswith("_"):
                    self.assertTrue(value.__doc__, f"{name}.{method}")


class Service(unittest.TestCase):
    def setUp(self):
        self.m = Lockstep(name="tests")

    def tearDown(self):
        self.m.stop()
        self.m.close()


class Moves(Service):
    def test_a_failed_move_names_who_failed(self):
        stop = threading.Timer(0.3, self.m.stop, ["y"])
        stop.start()
        with self.assertRaises(MoveFailed) as caught:
            self.m.move(x="2mm", y="150mm", arrive="asap")
        stop.join(10)
        error = caught.exception
        self.assertEqual(list(error.failed), ["y"])
        y = error.failed["y"]
        self.assertEqual(error.failed, {"y": y})
        self.assertEqual((y.cause, error.result), ("stopped", "stopped"))
        self.assertAlmostEqual(y.position + y.by, 150.0, places=2)
        self.assertIn("y fell short by", str(error))
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((again.failed, str(again)), (error.failed, str(error)))

    def test_outcomes_come_as_they_are_complete(self):
        self.m.move(x="0mm", y="0mm")
        going = self.m.start(x="1mm", y="40mm", arrive="asap")
        came = []
        for motor, outcome in going:
            came.append((motor, outcome.reached, self.m.status()["state"]))
        # While y still moved, x's outcome was there.
        self.assertEqual([(c[0], c[1]) for c in came], [("x", True), ("y", True)])
        self.assertEqual(came[0][2], "moving")
        # Once more, from what the service remembers.
        self.assertEqual(dict(going), going.wait())

    def test_two_moves_at_once_do_not_mix(self):
        self.m.move(x="0mm", y="0mm")
        first, second = self.m.start(x="20mm"), self.m.start(y="5mm")
        self.assertEqual([motor for motor, _ in first], ["x"])
        self.assertEqual([motor for motor, _ in second], ["y"])
        moves = [self.m.start(x="10mm"), self.m.start(y="10mm"), self.m.start(pan="3deg")]
        came = []
        threads = [threading.Thread(target=lambda move=move: came.extend(move)) for move in moves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        self.assertEqual(sorted(motor for motor, _ in came), ["pan", "x", "y"])

    def test_who_starts_many_moves_and_never_looks(self):
        for _ in range(300):
            self.m.start(x="5mm", after="60s").cancel()
        going = self.m.start(pan="-2deg")
        self.assertEqual([motor for motor, _ in going], ["pan"])

    def test_a_move_that_is_taken_back(self):
        later = self.m.start(x="5mm", after="60s")
        later.cancel()
        with self.assertRaises(MoveFailed) as caught:
            later.wait()
        self.assertEqual((caught.exception.result, caught.exception.failed), ("cancelled", {}))
        self.assertEqual(list(later), [])

    def test_waits_end(self):
        later = self.m.start(x="5mm", after="60s")
        with self.assertRaises(TimedOut) as caught:
            later.wait("50ms")
        self.assertEqual(caught.exception.code, "timeout")
        self.assertIsInstance(caught.exception, TimeoutError)

    def test_a_busy_motor(self):
        self.m.start(x="100mm")
        with self.assertRaises(Busy):
            self.m.move(x="0mm")
        self.assertTrue(self.m.move(x="1mm", if_busy="replace")["x"].reached)

    def test_wrong_arguments_go_nowhere(self):
        for wrong in (lambda: self.m.move(), lambda: self.m.move(x=1.5), lambda: self.m.jog("1s", x=3)):
            self.assertRaises(TypeError, wrong)
        for wrong in (lambda: self.m.move(x="fast"), lambda: self.m.move(x="1mm", arrive="never")):
            with self.assertRaises(Refused) as caught:
                wrong()
            self.assertEqual(caught.exception.code, "bad-value")
        with self.assertRaises(Refused) as caught:
            self.m.move(x="1mm", colour="red")
        self.assertEqual(self.m.status()["state"], "ready")

    def test_another_thread_can_stop_what_this_one_waits_for(self):
        waits = threading.Thread(target=lambda: self.assertRaises(MoveFailed, self.m.move, x="190mm"))
        waits.start()
        time.sleep(0.2)
        began = time.monotonic()
        self.m.stop()
        waits.join(10)
        self.assertFalse(waits.is_alive())
        self.assertLess(time.monotonic() - began, 3)

    def test_many_threads_share_a_connection(self):
        seen = []

        def ask(motor):
            for _ in range(20):
                seen.append(list(self.m.status(motor)["motors"]) == [motor])

        threads = [threading.Thread(target=ask, args=(motor,)) for motor in ("x", "y", "pan", "x")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        self.assertEqual(seen, [True] * 80)


class Others(Service):
    def test_events_have_a_deadline_and_an_end(self):
        with self.m.events("events") as events:
            self.assertIsNone(events.next(0.05))
            self.m.trigger("a", [1, "ä"])
            self.assertEqual(events.next(5)["data"], [1, "ä"])
        self.assertRaises(ConnectionLost, events.next, 1)
        self.assertEqual(list(events), [])

    def test_events_are_waited_for_from_elsewhere(self):
        soon = threading.Timer(0.1, self.m.trigger, ["ping", 7])
        soon.start()
        with Lockstep() as other:
            self.assertEqual(other.wait_for("ping", timeout="10s"), [7])
        soon.join(10)
        self.assertIn("ping", self.m.kept_events())

    def test_a_line_that_is_too_long(self):
        with self.assertRaises(Refused) as caught:
            self.m.trigger("long", "x" * 70_000)
        self.assertEqual(caught.exception.code, "line-too-long")
        self.assertEqual(self.m.trigger("short", "x"), 0)

    def test_a_rendezvous(self):
        came = []

        def come():
            with Lockstep() as other:
                came.append(other.rendezvous("all", parties=3, timeout="20s"))

        threads = [threading.Thread(target=come) for _ in range(2)]
        for thread in threads:
            thread.start()
        came.append(self.m.rendezvous("all", parties=3, timeout="20s"))
        for thread in threads:
            thread.join(20)
        self.assertEqual(sorted(came), [0, 1, 2])
        self.m.abort_rendezvous("broken")
        with self.assertRaises(Refused) as caught:
            self.m.rendezvous("broken", parties=2, timeout="1s")
        self.assertEqual(caught.exception.code, "broken")
        self.m.reset_rendezvous("broken")
        self.assertEqual(self.m.rendezvous("broken", parties=1), 0)

    def test_a_lease_is_shared_with_children(self):
        code = 'from lockstep import Lockstep\nwith Lockstep() as m: m.move(x="4mm")'
        with self.m.lease("x", timeout="5s", heartbeat="20s") as lease:
            lease.renew()
            environment = {**lease.environment(), "PYTHONPATH": here()}
            subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=30)
            with Lockstep() as other:
                with self.assertRaises(Busy) as caught:
                    other.move(x="1mm")
                self.assertEqual((caught.exception.holder, caught.exception.motors), ("tests", ["x"]))
                self.assertIn("tests", str(caught.exception))
            with self.m.lease("x", "y") as inner:
                self.assertEqual(inner.release(), ["y"])
        with Lockstep() as other:
            other.move(x="1mm")
        self.assertEqual(lease.release(), [])

    def test_drivers_and_servos(self):
        self.m.enable("x")
        self.m.disable("x", "y")
        with self.assertRaises(Refused) as caught:
            self.m.release("x")
        self.assertEqual(caught.exception.code, "wrong-motor")

    def test_the_page_follows(self):
        with self.m.page() as page:
            self.m.move(x="0mm")
            going = self.m.start(x="30mm")
            seen, states = set(), set()
            while "end" not in seen:
                view = page.read()
                states.add(view.state)
                seen.add(view.motors["x"].position)
                if view.motors["x"].position == 30.0 and view.state == "idle":
                    break
                time.sleep(0.005)
            going.wait()
            self.assertGreater(len(seen), 10)
            self.assertEqual(states, {"idle", "moving"})
            self.assertLess(abs(time.monotonic_ns() - page.read().at_ns), 5_000_000_000)

    def test_another_file_is_no_page(self):
        for content in (b"", b"x" * 30, b"LOCKSTEP" + bytes(200)):
            with tempfile.NamedTemporaryFile() as file:
                file.write(content)
                file.flush()
                self.assertRaises(LockstepError, lockstep.StatusPage, file.name)


    def test_the_page_of_another_release_is_read(self):
        motor = struct.pack("<64s8sddQIIQQQ", b"x", b"mm", 12.5, 0.0, 7, 1, 0, 5000, 0, 0)
        head = struct.pack("<8sIIQQIIdQ8x", b"LOCKSTEP", 1, 192, 14, 5_000_000, 3, 1, 50.0, 7)
        # A later one: more in the header, in each motor, and a section of a kind of its own.
        later = struct.pack("<8sIIQQIIdddQII", b"LOCKSTEP", 2, 360, 14, 6, 1, 0, 75.0, 100.0, 90.0, 7, 136, 2)
        table = struct.pack("<IIIIIIII", 9, 180, 20, 1, 1, 200, 160, 1)
        later = (later.ljust(136) + table).ljust(200, b"\0") + motor + struct.pack("<I28s", 6, b"more")
        for content, state, owner, override in ((head + motor, "held", "none", 50.0), (later, "moving", "stream", 75.0)):
            with tempfile.NamedTemporaryFile() as file:
                file.write(content)
                file.flush()
                with lockstep.StatusPage(file.name) as page:
                    view = page.read()
                    x = view.motors["x"]
                    self.assertEqual((x.position, x.move, x.place, x.owner), (12.5, 7, "assumed", owner))
                    self.assertEqual((view.state, view.override_percent, view.inputs), (state, override, {}))


class NoGoodService(unittest.TestCase):
    """Against something that is no service, or none that answers."""

    def serve(self, answer):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "s")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen(1)

        def run():
            client, _ = listener.accept()
            answer(client)
            client.close()

        threading.Thread(target=run, daemon=True).start()
        return path

    def test_nobody(self):
        self.assertRaises(NoService, Lockstep, "/nowhere/control.sock")
        self.assertRaises(NoService, lockstep.StatusPage, "/nowhere/status")

    def test_who_hangs_up(self):
        self.assertRaises(ConnectionLost, Lockstep, self.serve(lambda client: None))

    def test_who_is_full_says_so(self):
        line = b'{"v":1,"id":null,"ok":false,"code":"too-many-clients","message":"64 clients","closing":true}\n'
        with self.assertRaises(Refused) as caught:
            Lockstep(self.serve(lambda client: client.sendall(line)))
        self.assertEqual(caught.exception.code, "too-many-clients")

    def test_who_talks_nonsense(self):
        self.assertRaises(ConnectionLost, Lockstep, self.serve(lambda client: client.sendall(b"what?\n")))

    def test_what_a_later_service_says_is_passed_over(self):
        def answer(client):
            client.recv(1000)
            client.sendall(b'{"v":1,"seq":1,"at_s":0.5,"event":"new"}\n{"v":1,"id":99,"ok":true,"do":"hello"}\n')
            client.sendall(b'{"v":1,"id":1,"ok":true,"do":"hello","mood":"good"}\n')
            client.recv(1000)
            client.sendall(
                b'{"v":1,"id":2,"ok":true,"do":"move","move":1,"state":"ended","outcome":{"result":"done","motors":'
                b'{"x":{"outcome":"reached","position":1.0,"unit":"mm","place":"assumed","colour":"red"}}}}\n'
            )

        with Lockstep(self.serve(answer)) as m:
            self.assertTrue(m.move(x="1mm")["x"].reached)

    def test_a_service_of_release_0_1_can_be_stopped(self):
        with open(here("..", "..", "tests", "releases", "0.1", "session.txt")) as file:
            replies = {}
            for line in file:
                if line.startswith("<- "):
                    reply = json.loads(line[3:])
                    replies.setdefault(reply.get("do"), reply)

        def answer(client):
            for line in client.makefile("r"):
                request = json.loads(line)
                reply = {**replies[request["do"]], "id": request["id"]}
                client.sendall(json.dumps(reply).encode() + b"\n")

        with Lockstep(self.serve(answer)) as m:
            self.assertEqual(m.hold()["x"]["place"], "assumed")
            self.assertEqual(m.stop("x")["x"]["unit"], "mm")
            self.assertIn("pan", m.halt())
            self.assertEqual(m.status()["state"], "ready")


if __name__ == "__main__":
    unittest.main()
