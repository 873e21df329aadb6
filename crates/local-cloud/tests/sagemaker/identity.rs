//! STS and IAM.

use reqwest::StatusCode;

use crate::cloud::Tested;

#[tokio::test]
async fn every_caller_is_a_session_of_a_role_that_exists() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path(), "model.py").await;
    let (status, body) = tested.query("sts", &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("<Arn>arn:aws:sts::000000000000:assumed-role/local/session</Arn>"), "{body}");
    assert!(body.contains("<Account>000000000000</Account>") && body.contains("<UserId>"), "{body}");

    let (status, body) = tested.query("iam", &[("Action", "GetRole"), ("RoleName", "sagemaker-ds")]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("<Arn>arn:aws:iam::000000000000:role/sagemaker-ds</Arn>"), "{body}");
    assert!(body.contains("%22sagemaker.amazonaws.com%22") && body.contains("no permissions"), "{body}");
    let (status, body) = tested.query("iam", &[("Action", "GetRole"), ("RoleName", "a/b")]).await;
    assert!(status == StatusCode::BAD_REQUEST && body.contains("<Code>ValidationError</Code>"), "{body}");

    let actions = [("ActionNames.member.1", "s3:GetObject"), ("ActionNames.member.2", "logs:PutLogEvents")];
    let fields =
        [("Action", "SimulatePrincipalPolicy"), ("PolicySourceArn", "arn:aws:iam::0:role/r"), actions[0], actions[1]];
    let (status, body) = tested.query("iam", &fields).await;
    assert_eq!((status, body.matches("<EvalDecision>allowed</EvalDecision>").count()), (StatusCode::OK, 2), "{body}");
    assert!(body.contains("<EvalActionName>logs:PutLogEvents</EvalActionName>"), "{body}");

    for (service, action) in [("sts", "AssumeRole"), ("iam", "CreateRole")] {
        let (status, body) = tested.query(service, &[("Action", action)]).await;
        assert!(status == StatusCode::NOT_IMPLEMENTED && body.contains("<Code>NotImplemented</Code>"), "{body}");
    }
    tested.cloud.stop().await;
}
