"""A worker for the route of the README: pip install temporalio, then python examples/saga.py.

Send it an order:  echo 'order-1:{"amount": 12}' | kcat -b 127.0.0.1:9092 -P -t orders -K :
See what it did:   kcat -b 127.0.0.1:9092 -C -t order-events -e
"""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker


@activity.defn
async def reserve(order: dict) -> str:
    return f"reserved {order}"


@activity.defn
async def charge(order: dict) -> str:
    return f"charged {order}"


@activity.defn
async def ship(order: dict) -> str:
    return f"shipped {order}"


@workflow.defn
class OrderSaga:
    def __init__(self) -> None:
        self.orders: list[dict] = []

    @workflow.signal
    def order(self, order: dict) -> None:
        self.orders.append(order)  # the route may send a record's duplicate: the first one counts

    @workflow.run
    async def run(self) -> dict:
        await workflow.wait_condition(lambda: bool(self.orders))
        for step in (reserve, charge, ship):
            await workflow.execute_activity(step, self.orders[0], start_to_close_timeout=timedelta(seconds=10))
        event = {"topic": "order-events", "key": workflow.info().workflow_id, "value": {"outcome": "shipped"}}
        return await workflow.execute_activity(
            "mainstay.publish", event, task_queue="mainstay", start_to_close_timeout=timedelta(seconds=10)
        )


async def main() -> None:
    client = await Client.connect("127.0.0.1:7233")
    async with Worker(client, task_queue="orders", workflows=[OrderSaga], activities=[reserve, charge, ship]):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
