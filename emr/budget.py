"""The calls a practice may make this minute, shared by every process.

A sliding log: at most `limit` calls in any `window` seconds (61 for a vendor's clock minute, so that no phase of the
vendor's minute and no jitter up to a second can add up to a 429). What the vendor counts, we count: FHIR, token,
authorize and discovery calls, keyed by environment and practice code. A 429 all the same blocks the practice for
everybody until the next minute.

The last `held_back` calls are left to what somebody waits for. When the window is used up, interactive work thereby
gets every call that comes free, for the background asks for a fuller reserve before it takes one.
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


class Budget(Protocol):
    def take(self, key: str, *, limit: int, window: float, held_back: int = 0, interactive: bool = False) -> float:
        """Count one call and return 0; or count nothing and return the seconds until one may be had."""

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


class DatabaseBudget:
    """For the embedded default: one row a practice, changed under its lock, by the one machine's clock."""

    def take(self, key: str, *, limit: int, window: float, held_back: int = 0, interactive: bool = False) -> float:
        share = _share(limit, held_back, interactive)
        CallWindow.objects.get_or_create(key=key)
        with transaction.atomic():
            row = CallWindow.objects.select_for_update().get(key=key)
            now = time.time()
            if row.blocked_until > now:
                return row.blocked_until - now
            sent = _within(row.sent, now, window)
            if len(sent) >= share:
                return sent[len(sent) - share] + window - now
            row.sent = [*sent, now]
            row.save(update_fields=["sent"])
            return 0.0

    def block(self, key: str, seconds: float) -> None:
        CallWindow.objects.get_or_create(key=key)
        until = time.time() + seconds
        CallWindow.objects.filter(key=key, blocked_until__lt=until).update(blocked_until=until)

    def used(self, key: str, *, window: float) -> int:
        row = CallWindow.objects.filter(key=key).first()
        return len(_within(row.sent, time.time(), window)) if row else 0


# One round trip, atomic, and only Redis' clock counts: workers on several machines agree. Calls ahead of the clock
# count as in _within.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local share = tonumber(ARGV[1])
local blocked = tonumber(redis.call('GET', KEYS[2]) or '0')
if blocked > now then return tostring(blocked - now) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. string.format('%.6f', now + ARGV[2]), '+inf')
local sent = redis.call('ZCARD', KEYS[1])
if sent >= share then
  local first = redis.call('ZRANGE', KEYS[1], sent - share, sent - share, 'WITHSCORES')
  return tostring(first[2] + ARGV[2] - now)
end
redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] * 2000))
return '0'
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

    def take(self, key: str, *, limit: int, window: float, held_back: int = 0, interactive: bool = False) -> float:
        share = _share(limit, held_back, interactive)
        wait = self._take(keys=[f"calls:{key}", f"blocked:{key}"], args=[share, window, uuid.uuid4().hex])
        return float(wait)

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
