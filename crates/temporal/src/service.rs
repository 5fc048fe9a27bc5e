//! The RPCs, one method each. What takes more than one ask is in a file of its own.
//!
//! RPCs that are not here are not in the generated trait either; `dispatch.rs` refuses them.

use crate::backend::{Answer, Backend};
use crate::delivery::FirstPage;
use crate::front::{Front, mismatch};
use crate::generated::temporal::api::workflowservice::v1::workflow_service_server::WorkflowService;
use crate::twins;
use crate::{history, poll, system};
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::{Request, Response, Status};
use workflows::{Ask, Reply};

/// Asks what the RPC of this name asks, and answers with what the reply of this name carries.
macro_rules! ask {
    ($front:expr, $request:expr, $rpc:ident => $answer:ident) => {{
        let ask = Ask::$rpc(Box::new($request.into_inner()));
        match $front.ask(ask).await? {
            Reply::$rpc(response) => Ok(Response::new(*response)),
            other => Err(mismatch(&other)),
        }
    }};
    ($front:expr, $request:expr, $rpc:ident) => {{
        let ask = Ask::$rpc(Box::new($request.into_inner()));
        match $front.ask(ask).await? {
            Reply::$rpc => Ok(Response::new(Default::default())),
            other => Err(mismatch(&other)),
        }
    }};
}

#[tonic::async_trait]
impl<B: Backend> WorkflowService for Front<B> {
    async fn get_system_info(
        &self,
        _: Request<GetSystemInfoRequest>,
    ) -> Result<Response<GetSystemInfoResponse>, Status> {
        Ok(Response::new(system::system_info()))
    }

    async fn get_cluster_info(
        &self,
        _: Request<GetClusterInfoRequest>,
    ) -> Result<Response<GetClusterInfoResponse>, Status> {
        Ok(Response::new(system::cluster_info(self.backend.cluster_id())))
    }

    async fn start_workflow_execution(
        &self,
        request: Request<StartWorkflowExecutionRequest>,
    ) -> Result<Response<twins::StartWorkflowExecutionResponse>, Status> {
        let request = request.into_inner();
        let namespace = request.namespace.clone();
        let ask = Ask::StartWorkflowExecution(Box::new(request));
        let answer = self.ask_for_task(ask).await?;
        let page = match answer.reply() {
            Reply::StartWorkflowExecution(_, Some(task)) => {
                Some(FirstPage::read(self, &namespace, task).await?)
            }
            _ => None,
        };
        match answer.take() {
            Reply::StartWorkflowExecution(response, task) => {
                let task = page.zip(task).map(|(page, task)| page.of(*task));
                Ok(Response::new(twins::StartWorkflowExecutionResponse::new(*response, task)))
            }
            other => Err(mismatch(&other)),
        }
    }

    async fn respond_workflow_task_completed(
        &self,
        request: Request<RespondWorkflowTaskCompletedRequest>,
    ) -> Result<Response<twins::RespondWorkflowTaskCompletedResponse>, Status> {
        let request = request.into_inner();
        let namespace = request.namespace.clone();
        let ask = Ask::RespondWorkflowTaskCompleted(Box::new(request));
        let answer = self.ask_for_task(ask).await?;
        let page = match answer.reply() {
            Reply::RespondWorkflowTaskCompleted(_, Some(task)) => {
                Some(FirstPage::read(self, &namespace, task).await?)
            }
            _ => None,
        };
        match answer.take() {
            Reply::RespondWorkflowTaskCompleted(response, task) => {
                let task = page.zip(task).map(|(page, task)| page.of(*task));
                Ok(Response::new(twins::RespondWorkflowTaskCompletedResponse::new(*response, task)))
            }
            other => Err(mismatch(&other)),
        }
    }

    async fn get_workflow_execution_history(
        &self,
        request: Request<GetWorkflowExecutionHistoryRequest>,
    ) -> Result<Response<twins::GetWorkflowExecutionHistoryResponse>, Status> {
        history::get(self, request).await.map(Response::new)
    }

    async fn poll_workflow_task_queue(
        &self,
        request: Request<PollWorkflowTaskQueueRequest>,
    ) -> Result<Response<twins::PollWorkflowTaskQueueResponse>, Status> {
        poll::workflow_task(self, request).await.map(Response::new)
    }

    async fn poll_activity_task_queue(
        &self,
        request: Request<PollActivityTaskQueueRequest>,
    ) -> Result<Response<PollActivityTaskQueueResponse>, Status> {
        poll::activity_task(self, request).await.map(Response::new)
    }

    async fn query_workflow(
        &self,
        request: Request<QueryWorkflowRequest>,
    ) -> Result<Response<QueryWorkflowResponse>, Status> {
        poll::query(self, request).await.map(Response::new)
    }

    async fn register_namespace(
        &self,
        request: Request<RegisterNamespaceRequest>,
    ) -> Result<Response<RegisterNamespaceResponse>, Status> {
        ask!(self, request, RegisterNamespace)
    }

    async fn describe_namespace(
        &self,
        request: Request<DescribeNamespaceRequest>,
    ) -> Result<Response<DescribeNamespaceResponse>, Status> {
        ask!(self, request, DescribeNamespace => response)
    }

    async fn list_namespaces(
        &self,
        request: Request<ListNamespacesRequest>,
    ) -> Result<Response<ListNamespacesResponse>, Status> {
        ask!(self, request, ListNamespaces => response)
    }

    async fn signal_with_start_workflow_execution(
        &self,
        request: Request<SignalWithStartWorkflowExecutionRequest>,
    ) -> Result<Response<SignalWithStartWorkflowExecutionResponse>, Status> {
        ask!(self, request, SignalWithStartWorkflowExecution => response)
    }

    async fn signal_workflow_execution(
        &self,
        request: Request<SignalWorkflowExecutionRequest>,
    ) -> Result<Response<SignalWorkflowExecutionResponse>, Status> {
        ask!(self, request, SignalWorkflowExecution)
    }

    async fn request_cancel_workflow_execution(
        &self,
        request: Request<RequestCancelWorkflowExecutionRequest>,
    ) -> Result<Response<RequestCancelWorkflowExecutionResponse>, Status> {
        ask!(self, request, RequestCancelWorkflowExecution)
    }

    async fn terminate_workflow_execution(
        &self,
        request: Request<TerminateWorkflowExecutionRequest>,
    ) -> Result<Response<TerminateWorkflowExecutionResponse>, Status> {
        ask!(self, request, TerminateWorkflowExecution)
    }

    async fn describe_workflow_execution(
        &self,
        request: Request<DescribeWorkflowExecutionRequest>,
    ) -> Result<Response<DescribeWorkflowExecutionResponse>, Status> {
        ask!(self, request, DescribeWorkflowExecution => response)
    }

    async fn respond_workflow_task_failed(
        &self,
        request: Request<RespondWorkflowTaskFailedRequest>,
    ) -> Result<Response<RespondWorkflowTaskFailedResponse>, Status> {
        ask!(self, request, RespondWorkflowTaskFailed)
    }

    async fn respond_query_task_completed(
        &self,
        request: Request<RespondQueryTaskCompletedRequest>,
    ) -> Result<Response<RespondQueryTaskCompletedResponse>, Status> {
        ask!(self, request, RespondQueryTaskCompleted)
    }

    async fn record_activity_task_heartbeat(
        &self,
        request: Request<RecordActivityTaskHeartbeatRequest>,
    ) -> Result<Response<RecordActivityTaskHeartbeatResponse>, Status> {
        ask!(self, request, RecordActivityTaskHeartbeat => response)
    }

    async fn respond_activity_task_completed(
        &self,
        request: Request<RespondActivityTaskCompletedRequest>,
    ) -> Result<Response<RespondActivityTaskCompletedResponse>, Status> {
        ask!(self, request, RespondActivityTaskCompleted)
    }

    async fn respond_activity_task_failed(
        &self,
        request: Request<RespondActivityTaskFailedRequest>,
    ) -> Result<Response<RespondActivityTaskFailedResponse>, Status> {
        ask!(self, request, RespondActivityTaskFailed)
    }

    async fn respond_activity_task_canceled(
        &self,
        request: Request<RespondActivityTaskCanceledRequest>,
    ) -> Result<Response<RespondActivityTaskCanceledResponse>, Status> {
        ask!(self, request, RespondActivityTaskCanceled)
    }

    async fn shutdown_worker(
        &self,
        request: Request<ShutdownWorkerRequest>,
    ) -> Result<Response<ShutdownWorkerResponse>, Status> {
        ask!(self, request, ShutdownWorker)
    }

    async fn reset_sticky_task_queue(
        &self,
        request: Request<ResetStickyTaskQueueRequest>,
    ) -> Result<Response<ResetStickyTaskQueueResponse>, Status> {
        ask!(self, request, ResetStickyTaskQueue)
    }
}
