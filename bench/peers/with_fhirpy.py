"""fhirpy: its asynchronous client, ten patients at once."""

import asyncio

from fhirpy import AsyncFHIRClient
from task import TYPES, Task, run


async def one(client: AsyncFHIRClient, patient: str, at_once: asyncio.Semaphore) -> int:
    async with at_once:
        found = 1 if await client.get("Patient", patient) else 0
        for kind in TYPES:
            found += len(await client.resources(kind).search(patient=patient).limit(200).fetch_all())
        return found


async def everybody(task: Task) -> int:
    client = AsyncFHIRClient(task.base, authorization=f"Bearer {task.bearer}")
    at_once = asyncio.Semaphore(10)
    return sum(await asyncio.gather(*(one(client, patient, at_once) for patient in task.patients)))


def pull(task: Task) -> int:
    return asyncio.run(everybody(task))


if __name__ == "__main__":
    run(pull)
