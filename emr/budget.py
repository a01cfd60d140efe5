"""The calls a practice may make this minute, shared by every process.

A sliding log: at most `limit` calls in any `window` seconds (61 for a vendor's clock minute, so that no phase of the
vendor's minute and no jitter up to a second can add up to a 429). What the vendor counts, we count: FHIR, token,
authorize and discovery calls, keyed by environment and practice code. A 429 all the same blocks the practice for
everybody until the next minute.
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
    def take(self, key: str, *, limit: int, window: float) -> float:
        """Count one call and return 0; or count nothing and return the seconds until one may be had."""

    def block(self, key: str, seconds: float) -> None:
        """Nobody calls this practice for so long."""

    def used(self, key: str, *, window: float) -> int:
        """Calls counted within the window, now."""


class DatabaseBudget:
    """For the embedded default: one row a practice, changed under its lock, by the one machine's clock."""

    def take(self, key: str, *, limit: int, window: float) -> float:
        CallWindow.objects.get_or_create(key=key)
        with transaction.atomic():
            row = CallWindow.objects.select_for_update().get(key=key)
            now = time.time()
            if row.blocked_until > now:
                return row.blocked_until - now
            sent = [at for at in row.sent if now - window < at <= now]
            if len(sent) >= limit:
                return sent[0] + window - now
            row.sent = [*sent, now]
            row.save(update_fields=["sent"])
            return 0.0

    def block(self, key: str, seconds: float) -> None:
        CallWindow.objects.get_or_create(key=key)
        until = time.time() + seconds
        CallWindow.objects.filter(key=key, blocked_until__lt=until).update(blocked_until=until)

    def used(self, key: str, *, window: float) -> int:
        row = CallWindow.objects.filter(key=key).first()
        now = time.time()
        return sum(1 for at in row.sent if now - window < at <= now) if row else 0


# One round trip, atomic, and only Redis' clock counts: workers on several machines agree.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local blocked = tonumber(redis.call('GET', KEYS[2]) or '0')
if blocked > now then return tostring(blocked - now) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return tostring(first[2] + ARGV[2] - now)
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] * 2000))
return '0'
"""
_BLOCK = """
local t = redis.call('TIME')
local untiltime = t[1] + t[2] / 1000000 + ARGV[1]
if tonumber(redis.call('GET', KEYS[1]) or '0') < untiltime then
  redis.call('SET', KEYS[1], tostring(untiltime), 'PX', math.ceil(ARGV[1] * 1000) + 1000)
end
return 1
"""


class RedisBudget:
    """For production. Keys hold practice codes and nothing of patients."""

    def __init__(self, url: str) -> None:
        self.redis = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=1)
        self._take = self.redis.register_script(_TAKE)
        self._block = self.redis.register_script(_BLOCK)

    def take(self, key: str, *, limit: int, window: float) -> float:
        wait = self._take(keys=[f"calls:{key}", f"blocked:{key}"], args=[limit, window, uuid.uuid4().hex])
        return float(wait)

    def block(self, key: str, seconds: float) -> None:
        self._block(keys=[f"blocked:{key}"], args=[seconds])

    def used(self, key: str, *, window: float) -> int:
        seconds, micros = self.redis.time()
        return int(self.redis.zcount(f"calls:{key}", seconds + micros / 1e6 - window, "+inf"))


@cache
def shared() -> Budget:
    """The budget of this deployment."""
    return RedisBudget(settings.REDIS_URL) if settings.REDIS_URL else DatabaseBudget()


def seconds_to_next_minute(now: float) -> float:
    """Until the vendor's counter has turned (it turns on the clock minute), with 1 to 5 s of jitter."""
    return 60 - now % 60 + random.uniform(1, 5)  # noqa: S311 - spreads retries, guards nothing
