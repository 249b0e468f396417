//! Every path of the API with its method, and who may ask it: one table, from which the router is made. What is in no table
//! has no path, so that whoever holds all routes against something (a test of who gets in, a description) misses none.

use std::convert::Infallible;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::caller::Caller;
use crate::failure::Failure;
use crate::server::Shared;

/// One path with one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method, in capitals.
    pub method: &'static str,
    /// The path, with the names of its parts in braces.
    pub path: &'static str,
    /// Who may ask.
    pub who: Who,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody: no token is looked at.
    All,
    /// Whoever shows the gateway's token or an API key. What is theirs is asked in the handler.
    Callers,
    /// Who shows the gateway's token.
    Operator,
}

/// The methods that the API knows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// A part of the table.
#[derive(Default)]
pub(crate) struct Routes {
    listed: Vec<Route>,
    router: Router<Arc<Shared>>,
}

impl Routes {
    /// Adds a route.
    pub(crate) fn at<H, T>(self, who: Who, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let Self { mut listed, router } = self;
        listed.push(Route { method: method.name(), path, who });
        let answers: MethodRouter<Arc<Shared>, Infallible> = on(method.filter(), handler);
        let answers = match who {
            Who::All | Who::Callers => answers,
            Who::Operator => answers.layer(middleware::from_fn(operator_only)),
        };
        Self { listed, router: router.route(path, answers) }
    }

    /// With all of another part.
    pub(crate) fn merge(self, other: Self) -> Self {
        let Self { mut listed, router } = self;
        listed.extend(other.listed);
        Self { listed, router: router.merge(other.router) }
    }

    pub(crate) fn listed(self) -> Vec<Route> {
        self.listed
    }

    pub(crate) fn router(self) -> Router<Arc<Shared>> {
        self.router
    }
}

/// Who is let in and is not the operator learns that the path is not for them: it is no secret that it is there.
async fn operator_only(request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(Caller::Operator) => next.run(request).await,
        _ => Failure::for_operators().into_response(),
    }
}
