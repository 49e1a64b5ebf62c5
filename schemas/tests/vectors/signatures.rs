//! CCTV and Wycheproof: what `verify_strict` takes for a signature, pinned so that no update of a crate moves it unseen.

use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::Value;

use super::{files, json, text, unhex};

/// The only vectors of 914 that a strict verifier accepts: no key or point of low order, one encoding.
const CCTV_ACCEPTED: [u64; 43] = [
    7, 29, 50, 117, 139, 161, 182, 249, 305, 411, 425, 438, 465, 473, 481, 489, 497, 511, 525, 538,
    565, 573, 581, 589, 597, 611, 625, 638, 665, 673, 681, 689, 697, 711, 725, 738, 765, 773, 781,
    789, 797, 832, 899,
];

#[test]
fn cctv_accepts_exactly_the_43() {
    assert_eq!(files("cctv-ed25519").len(), 1);
    let cases = json("cctv-ed25519", "ed25519vectors.json");
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 914);
    let mut accepted = Vec::new();
    for case in cases {
        let number = case["number"].as_u64().unwrap();
        let message = text(case, "msg").as_bytes();
        let ok = verifies(&unhex(case, "key"), message, &unhex(case, "sig"));
        // The list above is not ours to choose: the flags of the vectors say the same.
        assert_eq!(ok, is_harmless(case), "{number}");
        if ok {
            accepted.push(number);
        }
    }
    assert_eq!(accepted, CCTV_ACCEPTED);
}

/// Whether a case has no flag but that a component of low order is mixed in, which changes nothing for a strict verifier.
fn is_harmless(case: &Value) -> bool {
    let flags = case["flags"].as_array();
    flags.into_iter().flatten().all(|flag| {
        let flag = flag.as_str().unwrap();
        flag.starts_with("low_order_component_")
    })
}

#[test]
fn wycheproof_has_no_surprise() {
    assert_eq!(files("wycheproof").len(), 1);
    let set = json("wycheproof", "ed25519_test.json");
    let (mut valid, mut invalid) = (0, 0);
    for group in set["testGroups"].as_array().unwrap() {
        let key = unhex(&group["publicKey"], "pk");
        for case in group["tests"].as_array().unwrap() {
            let ok = verifies(&key, &unhex(case, "msg"), &unhex(case, "sig"));
            let expected = match text(case, "result") {
                "valid" => true,
                "invalid" => false,
                other => panic!("`{other}`"),
            };
            assert_eq!(ok, expected, "{}", case["tcId"]);
            valid += usize::from(expected);
            invalid += usize::from(!expected);
        }
    }
    assert_eq!((valid, invalid), (88, 63));
}

fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = VerifyingKey::try_from(key) else {
        return false;
    };
    let Ok(signature) = Signature::from_slice(signature) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}
