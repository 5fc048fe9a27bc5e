//! The demo's Temporal client: asks sagas for their state while they run, asks mailboxes and
//! executions at the end, and sends the one signal too many which a planted fault wants.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use temporalio_client::errors::{WorkflowInteractionError, WorkflowQueryError};
use temporalio_client::{
    Client, RpcOptions, WorkflowDescribeOptions, WorkflowExecutionStatus, WorkflowQueryOptions,
    WorkflowSignalOptions,
};
use temporalio_common::protos::temporal::api::common::v1::{Header, Payload};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::book::Book;
use crate::checker::{Execution, MailboxSeen, Question, Status};
use crate::customer::Customer;
use crate::plan::{Plan, PlannedOrder};
use crate::producer::order_value;
use crate::records::{RECORD_HEADER, RecordId};
use crate::saga::OrderSaga;

/// How long one call may take, and how long a question is repeated: longer than a run under chaos,
/// which may leave no second in which node, worker and caller all meet. The run's own patience
/// comes first.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(20);
/// Calls under way at once.
const CONCURRENCY: usize = 16;

fn call_options() -> RpcOptions {
    RpcOptions::builder().timeout(CALL_TIMEOUT).build()
}

/// Asks the orders that come in through `orders` for their state, until no more come.
pub(crate) async fn ask_sagas(
    client: Client,
    plan: Arc<Plan>,
    book: Arc<Book>,
    mut orders: mpsc::Receiver<usize>,
) {
    let mut asked = JoinSet::new();
    let room = Arc::new(Semaphore::new(CONCURRENCY));
    while let Some(order) = orders.recv().await {
        let (client, book, room) = (client.clone(), Arc::clone(&book), Arc::clone(&room));
        let order = plan.orders[order].id.clone();
        asked.spawn(async move {
            let _permit = room.acquire().await;
            let answer = ask_saga(&client, &order).await;
            book.answered(Question { order, answer });
        });
    }
    while asked.join_next().await.is_some() {}
}

/// Repeats the question while the route has not started the saga yet, or the node is down.
async fn ask_saga(client: &Client, order: &str) -> Result<String, String> {
    let saga = client.get_workflow_handle::<OrderSaga>(order);
    let until = Instant::now() + ANSWER_TIMEOUT;
    loop {
        let options = WorkflowQueryOptions::builder().rpc_options(call_options()).build();
        match saga.query(OrderSaga::state, (), options).await {
            Ok(state) => return Ok(state.name()),
            Err(error) if Instant::now() > until => return Err(query_error(&error)),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn query_error(error: &WorkflowQueryError) -> String {
    match error {
        WorkflowQueryError::Rpc(status) | WorkflowQueryError::NotFound(status) => {
            format!("{error} ({status})")
        }
        _ => error.to_string(),
    }
}

/// Asks each mailbox what it has handled and what waits; one that does not answer is named so.
pub(crate) async fn ask_mailboxes(client: &Client, customers: &[String]) -> Vec<MailboxSeen> {
    let mut seen = Vec::new();
    for customer in customers {
        let workflow_id = format!("customer-{customer}");
        let mailbox = client.get_workflow_handle::<Customer>(&workflow_id);
        let options = WorkflowQueryOptions::builder().rpc_options(call_options()).build();
        seen.push(match mailbox.query(Customer::mailbox, (), options).await {
            Ok(mailbox) => MailboxSeen {
                workflow_id,
                handled: Some(mailbox.handled),
                waiting: mailbox.waiting.len() as u64,
                runs: mailbox.runs,
            },
            Err(_) => MailboxSeen { workflow_id, handled: None, waiting: 0, runs: 0 },
        });
    }
    seen
}

/// Describes these workflows, many at once.
pub(crate) async fn describe(client: &Client, ids: Vec<String>) -> HashMap<String, Execution> {
    let mut calls = JoinSet::new();
    let room = Arc::new(Semaphore::new(CONCURRENCY));
    for id in ids {
        let (client, room) = (client.clone(), Arc::clone(&room));
        calls.spawn(async move {
            let _permit = room.acquire().await;
            describe_one(&client, id).await
        });
    }
    let seen = calls.join_all().await;
    seen.into_iter().map(|execution| (execution.workflow_id.clone(), execution)).collect()
}

async fn describe_one(client: &Client, workflow_id: String) -> Execution {
    let options = WorkflowDescribeOptions::builder().rpc_options(call_options()).build();
    let handle = client.get_workflow_handle::<OrderSaga>(&workflow_id);
    match handle.describe(options).await {
        Ok(seen) => {
            let status = match seen.status() {
                WorkflowExecutionStatus::Running => Status::Running,
                WorkflowExecutionStatus::Completed => Status::Completed,
                _ => Status::Failed,
            };
            let info = seen.into_raw().workflow_execution_info.unwrap_or_default();
            Execution { workflow_id, status, first_run: info.first_run_id }
        }
        Err(WorkflowInteractionError::NotFound(_)) => {
            Execution { workflow_id, status: Status::Missing, first_run: String::new() }
        }
        // Not known is not closed: the caller asks again while it has time.
        Err(_) => Execution { workflow_id, status: Status::Running, first_run: String::new() },
    }
}

/// Sends a mailbox a signal it has had already, as a broken route would.
pub(crate) async fn double_signal(client: Client, order: PlannedOrder, record: RecordId) {
    let mailbox = client.get_workflow_handle::<Customer>(format!("customer-{}", order.customer));
    let data = serde_json::to_vec(&record).unwrap_or_default();
    let metadata = HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]);
    let payload = Payload { metadata, data, ..Payload::default() };
    let fields = HashMap::from([(RECORD_HEADER.to_owned(), payload)]);
    let until = Instant::now() + ANSWER_TIMEOUT;
    while Instant::now() < until {
        let options = WorkflowSignalOptions::builder()
            .header(Header { fields: fields.clone() })
            .rpc_options(call_options())
            .build();
        let value = order_value(&order, false);
        if mailbox.signal(Customer::order, value, options).await.is_ok() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
