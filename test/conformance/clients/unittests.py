"""Runs unittest modules and prints one line a test: "ok NAME SECONDS" or "not ok NAME SECONDS WHY". Skipped tests are left out."""
import sys, time, unittest


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.began, self.why = time.monotonic(), None

    def note(self, test, err):
        self.why = " ".join("".join(self._exc_info_to_string(err, test)).split())[-300:]

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, err)
        if not hasattr(self, "began"):
            self.began = time.monotonic()
            self.stopTest(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.note(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.why = "skip"

    def stopTest(self, test):
        super().stopTest(test)
        if self.why != "skip":
            took = time.monotonic() - self.began
            print("ok" if self.why is None else "not ok", test.id(), "%.4f" % took, self.why or "", file=out, flush=True)


out, sys.stdout = sys.stdout, sys.stderr
unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:]).run(Result())
