//! What a client sees of work that is quick, slow, talkative or abandoned.

use std::rc::Rc;

use actix_web::body::to_bytes;
use actix_web::test::TestRequest;
use futures_util::FutureExt as _;
use proctor_domain::{Position, ReplicaId};
use tokio::sync::oneshot;

use super::*;
use crate::actors::Flight;

const BOTH: Accepts = Accepts { json: true, stream: true };

fn linked() -> (Rc<Link>, Flight) {
    let calls = Calls::new(ReplicaId::from("rep_1"));
    let name = proctor_domain::Name::new("desk").unwrap();
    let flight = calls.enter("call_1".into(), "ses_1".into(), Position(1), "sub_1".into(), name);
    (Link::new(calls), flight)
}

fn reply(result: &str) -> Done {
    Done::Reply(Reply::result("1", result))
}

#[test]
fn what_a_client_takes_is_read_from_its_accept_header() {
    let accepts = |header: &str| {
        let request = TestRequest::default().insert_header(("accept", header));
        let accepts = Accepts::of(&request.to_http_request());
        (accepts.json, accepts.stream)
    };
    assert_eq!(accepts("application/json, text/event-stream"), (true, true));
    assert_eq!(accepts("Text/Event-Stream;q=0.5"), (false, true));
    assert_eq!(accepts("*/*"), (true, false));
    assert_eq!(accepts("text/html"), (false, false));
    let none = TestRequest::default().to_http_request();
    assert_eq!(Accepts::of(&none), Accepts { json: true, stream: false });
}

#[actix_web::test]
async fn an_answer_that_comes_soon_goes_out_alone() {
    let (link, _flight) = linked();
    let response = respond(Box::pin(async { reply("{}") }), link, BOTH).await;
    assert_eq!(response.headers().get("content-type").unwrap(), "application/json");
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
}

#[actix_web::test]
async fn what_is_told_ahead_of_the_answer_goes_out_first_even_when_both_come_at_once() {
    let (link, _flight) = linked();
    let teller = Rc::clone(&link);
    let work = async move {
        teller.notify(b"{\"progress\":1}");
        teller.notify(b"{\"progress\":2}");
        reply("{}")
    };
    let response = respond(Box::pin(work), link, BOTH).await;
    assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream");
    let body = to_bytes(response.into_body()).await.unwrap();
    let expected = "data: {\"progress\":1}\n\ndata: {\"progress\":2}\n\n\
                    data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
    assert_eq!(body, expected);
}

#[actix_web::test]
async fn a_client_that_takes_no_stream_gets_the_answer_alone() {
    let (link, _flight) = linked();
    let teller = Rc::clone(&link);
    let work = async move {
        teller.notify(b"{}");
        reply("{}")
    };
    let response = respond(Box::pin(work), link, Accepts { json: true, stream: false }).await;
    assert_eq!(response.headers().get("content-type").unwrap(), "application/json");
}

#[actix_web::test]
async fn a_client_that_takes_nothing_but_a_stream_gets_one() {
    let (link, _flight) = linked();
    let response =
        respond(Box::pin(async { reply("{}") }), link, Accepts { json: false, stream: true }).await;
    let body = to_bytes(response.into_body()).await.unwrap();
    assert_eq!(body, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n");
}

/// Work that ends when it is told to, and says so.
fn slow() -> (LocalBoxFuture<'static, Done>, oneshot::Sender<()>, oneshot::Receiver<()>) {
    let (end, ended) = oneshot::channel();
    let (done, is_done) = oneshot::channel();
    let work = async move {
        let _ = ended.await;
        let _ = done.send(());
        reply("{}")
    };
    (Box::pin(work), end, is_done)
}

#[actix_web::test]
async fn work_whose_client_goes_away_goes_on_and_a_leashed_call_is_cancelled() {
    for leashed in [false, true] {
        let (link, flight) = linked();
        if leashed {
            link.leash(flight.call().clone());
        }
        let (work, end, is_done) = slow();
        let mut waiting = Box::pin(respond(work, link, BOTH));
        assert!((&mut waiting).now_or_never().is_none());
        drop(waiting);
        assert_eq!(flight.token().is_cancelled(), leashed);
        end.send(()).unwrap();
        is_done.await.unwrap();
    }
}

#[actix_web::test]
async fn work_goes_on_and_is_cancelled_alike_when_its_stream_is_closed() {
    let (link, flight) = linked();
    link.leash(flight.call().clone());
    let (work, end, is_done) = slow();
    let teller = Rc::clone(&link);
    let work = async move {
        teller.notify(b"{}");
        work.await
    };
    let response = respond(Box::pin(work), link, BOTH).await;
    assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream");
    assert!(!flight.token().is_cancelled());
    drop(response);
    assert!(flight.token().is_cancelled());
    end.send(()).unwrap();
    is_done.await.unwrap();
}

#[actix_web::test]
async fn a_reader_that_takes_nothing_neither_stops_the_work_nor_fills_the_memory() {
    let (link, _flight) = linked();
    let (end, ended) = oneshot::channel();
    let (teller, watched) = (Rc::clone(&link), Rc::clone(&link));
    let work = async move {
        for _ in 0..10_000 {
            teller.notify(b"{}");
            tokio::task::yield_now().await;
        }
        let _ = end.send(());
        reply("{}")
    };
    let _response = respond(Box::pin(work), link, BOTH).await;
    ended.await.unwrap();
    assert!(watched.events.borrow().len() <= PROGRESS_WAITING_MAX + 1);
}
