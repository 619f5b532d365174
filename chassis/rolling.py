"""Counts over a window that rolls with the clock."""

from collections import deque


class Window:
    """How many calls there were in the last seconds, failed ones and slow ones."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Second by second: calls, failures, slow calls.
        self._slots: deque[tuple[int, list[int]]] = deque()

    def add(self, now: float, failed: bool, slow: bool) -> None:
        """Counts a call."""
        second = int(now)
        if not self._slots or self._slots[-1][0] != second:
            self._slots.append((second, [0, 0, 0]))
        counts = self._slots[-1][1]
        counts[0] += 1
        counts[1] += failed
        counts[2] += slow

    def totals(self, now: float) -> tuple[int, int, int]:
        """Calls, failures and slow calls within the window."""
        while self._slots and self._slots[0][0] <= now - self._seconds:
            self._slots.popleft()
        calls = sum(counts[0] for _, counts in self._slots)
        failures = sum(counts[1] for _, counts in self._slots)
        slow = sum(counts[2] for _, counts in self._slots)
        return calls, failures, slow
