"""The calls a practice may make this minute, shared by every process.

A sliding log: at most `limit` calls in any `window` seconds (61 for a vendor's clock minute, so that no phase of the
vendor's minute and no jitter up to a second can add up to a 429). What the vendor counts, we count: FHIR, token,
authorize and discovery calls, keyed by environment and practice code. A 429 all the same blocks the practice for
everybody until the next minute.

The last `held_back` calls are left to what somebody waits for. When the window is used up, interactive work thereby
gets every call that comes free, for the background asks for a fuller reserve before it takes one.

Work that fills many windows is spread evenly over them: where 250 calls go out in a burst every 61 s, the vendor's
minute cuts some bursts in two, and the two seconds that are nobody's then cost a tenth of a minute's calls. A turn
that comes within the caller's patience is reserved and waited for, so no call is lost between two workers' tries.
"""

import random
import time
import uuid
from functools import cache
from typing import Protocol

import redis
from django.conf import settings
from django.db import transaction

from emr.models import CallWindow

# Spread calls are even over stretches of so many calls: over two, so that a worker that was late may catch up by one;
# over many, so that what somebody waits for, which is not spread, is made up for before the window is used up. A
# little quicker than the limit, so that a moment in which no worker asked is made up for too; the window still counts.
_STRETCHES = (2, 8, 32, 128)
_QUICKER = 1.02


class Budget(Protocol):
    def take(
        self,
        key: str,
        *,
        limit: int,
        window: float,
        held_back: int = 0,
        interactive: bool = False,
        spread: bool = False,
        patience: float = 0.0,
    ) -> float:
        """Count one call, wait for its turn (at most `patience` seconds) and return 0; or count nothing and return
        the seconds until one may be had. `spread`: evenly over the window."""

    def block(self, key: str, seconds: float) -> None:
        """Nobody calls this practice for so long."""

    def used(self, key: str, *, window: float) -> int:
        """Calls counted within the window, now."""


def _share(limit: int, held_back: int, interactive: bool) -> int:
    """Of `limit` calls, those this kind of work may have: at least one, or it would wait for ever."""
    return limit if interactive else max(limit - held_back, 1)


def _within(sent: list[float], now: float, window: float) -> list[float]:
    """Calls that still count, oldest first. Up to a window ahead: the clock was set back a little, they were made."""
    return sorted(at for at in sent if now - window < at <= now + window)


def _turn(sent: list[float], now: float, windows: list[tuple[int, float]]) -> float:
    """When the next call may go out, for at most so many calls in so many seconds, each. `sent`: oldest first."""
    return max([now, *(sent[len(sent) - calls] + seconds for calls, seconds in windows if len(sent) >= calls)])


def _windows(limit: int, window: float, share: int, spread: bool) -> list[tuple[int, float]]:
    even = [(calls, calls * window / limit / _QUICKER) for calls in _STRETCHES if spread and calls < limit]
    return [(share, window), *even]


class DatabaseBudget:
    """For the embedded default: one row a practice, changed under its lock, by the one machine's clock."""

    def take(
        self,
        key: str,
        *,
        limit: int,
        window: float,
        held_back: int = 0,
        interactive: bool = False,
        spread: bool = False,
        patience: float = 0.0,
    ) -> float:
        windows = _windows(limit, window, _share(limit, held_back, interactive), spread)
        CallWindow.objects.get_or_create(key=key)
        with transaction.atomic():
            row = CallWindow.objects.select_for_update().get(key=key)
            now = time.time()
            if row.blocked_until > now:
                return row.blocked_until - now
            sent = _within(row.sent, now, window)
            turn = _turn(sent, now, windows)
            if turn > now + patience:
                return turn - now
            row.sent = [*sent, turn]
            row.save(update_fields=["sent"])
        time.sleep(max(turn - time.time(), 0.0))
        return 0.0

    def block(self, key: str, seconds: float) -> None:
        CallWindow.objects.get_or_create(key=key)
        until = time.time() + seconds
        CallWindow.objects.filter(key=key, blocked_until__lt=until).update(blocked_until=until)

    def used(self, key: str, *, window: float) -> int:
        row = CallWindow.objects.filter(key=key).first()
        return len(_within(row.sent, time.time(), window)) if row else 0


# One round trip, atomic, and only Redis' clock counts: workers on several machines agree. Calls ahead of the clock
# count as in _within. ARGV: the window's seconds, patience, a name for the call, then calls and seconds of each window
# as in _turn. Answers the seconds to the turn, and whether the call was counted.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local blocked = tonumber(redis.call('GET', KEYS[2]) or '0')
if blocked > now then return {tostring(blocked - now), 0} end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now - ARGV[1]))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. string.format('%.6f', now + ARGV[1]), '+inf')
local sent = redis.call('ZCARD', KEYS[1])
local turn = now
for n = 4, #ARGV, 2 do
  local calls = tonumber(ARGV[n])
  if sent >= calls then
    local before = redis.call('ZRANGE', KEYS[1], sent - calls, sent - calls, 'WITHSCORES')
    turn = math.max(turn, before[2] + ARGV[n + 1])
  end
end
if turn > now + ARGV[2] then return {tostring(turn - now), 0} end
redis.call('ZADD', KEYS[1], string.format('%.6f', turn), ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[1] * 2000))
return {tostring(turn - now), 1}
"""
_BLOCK = """
local t = redis.call('TIME')
local untiltime = t[1] + t[2] / 1000000 + ARGV[1]
if tonumber(redis.call('GET', KEYS[1]) or '0') < untiltime then
  redis.call('SET', KEYS[1], string.format('%.6f', untiltime), 'PX', math.ceil(ARGV[1] * 1000) + 1000)
end
return 1
"""


class RedisBudget:
    """For production. Keys hold practice codes and nothing of patients."""

    def __init__(self, url: str) -> None:
        self.redis = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=1)
        self._take = self.redis.register_script(_TAKE)
        self._block = self.redis.register_script(_BLOCK)

    def take(
        self,
        key: str,
        *,
        limit: int,
        window: float,
        held_back: int = 0,
        interactive: bool = False,
        spread: bool = False,
        patience: float = 0.0,
    ) -> float:
        windows = _windows(limit, window, _share(limit, held_back, interactive), spread)
        numbers = [number for one in windows for number in one]
        wait, counted = self._take(
            keys=[f"calls:{key}", f"blocked:{key}"], args=[window, patience, uuid.uuid4().hex, *numbers]
        )
        if not counted:
            return float(wait)
        time.sleep(float(wait))
        return 0.0

    def block(self, key: str, seconds: float) -> None:
        self._block(keys=[f"blocked:{key}"], args=[seconds])

    def used(self, key: str, *, window: float) -> int:
        seconds, micros = self.redis.time()
        now = seconds + micros / 1e6
        return int(self.redis.zcount(f"calls:{key}", f"({now - window:.6f}", f"{now + window:.6f}"))


@cache
def shared() -> Budget:
    """The budget of this deployment."""
    return RedisBudget(settings.REDIS_URL) if settings.REDIS_URL else DatabaseBudget()


def seconds_to_next_minute(now: float) -> float:
    """Until the vendor's counter has turned (it turns on the clock minute), with 1 to 5 s of jitter."""
    return 60 - now % 60 + random.uniform(1, 5)  # noqa: S311 - spreads retries, guards nothing
