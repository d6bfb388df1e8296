use super::*;

#[test]
fn each_version_has_its_own_keys() {
    let json = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "mtu": 1400, "sandbox": "/run/x"}],
        "ips": [{"address": "10.1.1.2/24", "gateway": "10.1.1.1", "interface": 0}, {"address": "fd00::2/64"}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.1.1", "priority": 7}],
        "dns": {"nameservers": ["10.1.1.1"], "domain": "a", "search": ["b"], "options": ["c"]},
    });
    let result = AttachmentResult::read("prevResult", &json).unwrap();
    assert_eq!(result.json(SpecVersion::V1_1_0), json);
    for version in SpecVersion::ALL {
        let written = result.json(version);
        assert_eq!(written["cniVersion"], version.as_str());
        let is_old = version < SpecVersion::V1_0_0;
        assert_eq!(written["ips"][0].get("version").is_some(), is_old, "{version}");
        assert_eq!(written["interfaces"][0].get("mtu").is_some(), version >= SpecVersion::V1_1_0);
        if is_old {
            assert_eq!(
                (&written["ips"][0]["version"], &written["ips"][1]["version"]),
                (&"4".into(), &"6".into())
            );
        }
        let again = AttachmentResult::read("prevResult", &written).unwrap();
        assert_eq!((&again.ips, &again.routes, &again.dns), (&result.ips, &result.routes, &result.dns));
    }
}

#[test]
fn what_is_wrong_is_named_with_its_path_and_value() {
    for (json, words) in [
        (json!({"ips": [{"address": 7}]}), "prevResult.ips[0].address is 7"),
        (json!({"ips": [{}]}), "prevResult.ips[0].address is null"),
        (json!({"routes": {}}), "prevResult.routes is {}"),
        (json!({"interfaces": ["a"]}), "prevResult.interfaces[0] is \"a\""),
    ] {
        let failure = AttachmentResult::read("prevResult", &json).unwrap_err();
        assert_eq!(failure.code, 6);
        assert!(failure.message.starts_with(words), "{failure}");
    }
}
