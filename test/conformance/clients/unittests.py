"""Runs unittest modules and prints one line a test: "ok NAME SECONDS" or "not ok NAME SECONDS WHY". Skipped tests are left out; what goes
wrong outside the tests, as in a class's setUpClass, is "not ok the-run WHY"."""
import sys, time, unittest


class Result(unittest.TestResult):
    running = None  # the test, between startTest and stopTest

    def startTest(self, test):
        super().startTest(test)
        self.running, self.began, self.why, self.left_out = test, time.monotonic(), None, False

    def note(self, test, err):
        why = " ".join("".join(self._exc_info_to_string(err, test)).split())[-300:]
        if self.running is None:
            print("not ok the-run", test.id(), why, file=out, flush=True)
        else:
            self.why = why

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.note(test, err)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.why = "it was expected to fail"

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if test is self.running:  # and no part of it, beside others that ran
            self.left_out = True

    def stopTest(self, test):
        super().stopTest(test)
        if self.why or not self.left_out:
            took = time.monotonic() - self.began
            print("not ok" if self.why else "ok", test.id(), "%.4f" % took, self.why or "", file=out, flush=True)
        self.running = None


out, sys.stdout = sys.stdout, sys.stderr
unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:]).run(Result())
