use coregate_config::checked::CertificateFiles;

use super::*;
use crate::tls::provider;
use crate::tls::testing::{Authority, Folder};

fn load_files(files: &CertificateFiles) -> Result<Loaded, Unusable> {
    load(&Certificate::Files(files.clone()), &provider())
}

fn why(files: &CertificateFiles) -> String {
    load_files(files).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_with_files_is_told_with_what_would_be_right() {
    let (folder, authority) = (Folder::new("wrong"), Authority::new());
    let good = folder.pair(&authority, "good", &["one.test"]);
    let other = folder.pair(&authority, "other", &["two.test"]);
    load_files(&good).unwrap();
    let with =
        |chain: &Path, key: &Path| CertificateFiles { chain: chain.into(), key: key.into(), ocsp: None };

    let told = why(&with(&good.chain, &other.key));
    assert!(told.contains("other.key: is not the key of the first certificate in"), "{told}");
    let told = why(&with(&good.key, &good.chain));
    assert!(told.contains("holds a private key and no certificate; are chain and key exchanged?"), "{told}");
    let told = why(&with(&good.chain, &good.chain));
    assert!(told.contains("holds certificates and no private key"), "{told}");
    let told = why(&with(&good.chain, &folder.0.join("none.key")));
    assert!(told.contains("none.key: cannot be read (No such file"), "{told}");
    let told = why(&with(&folder.0, &good.key));
    assert!(told.ends_with("is not a file"), "{told}");
    let encrypted = folder.write("encrypted.key", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIC\n");
    let told = why(&with(&good.chain, &encrypted));
    assert!(told.contains("is encrypted") && told.contains("openssl pkey"), "{told}");
    let der = folder.write("chain.der", &load_files(&good).unwrap().key.cert[0]);
    let told = why(&with(&der, &good.key));
    assert!(told.contains("is DER, not PEM"), "{told}");
    let empty = folder.write("empty.pem", b"");
    let told = why(&with(&empty, &good.key));
    assert!(told.contains("holds no certificate in PEM"), "{told}");
    let whole = std::fs::read(&good.chain).unwrap();
    for cut in 1..whole.len() - 1 {
        let half = folder.write("half.pem", &whole[..cut]);
        let told = why(&with(&half, &good.key));
        assert!(told.contains("half.pem: "), "{cut}: {told}");
    }
    let garbage = folder.write("bad.pem", b"-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n");
    let told = why(&with(&garbage, &good.key));
    assert!(told.contains("the first certificate cannot be read"), "{told}");
}

#[test]
fn an_ocsp_response_must_be_whole_and_successful() {
    for (response, verdict) in [
        (&[0x30, 3, 0x0a, 1, 0][..], Ok(())),
        (&[0x30, 5, 0x0a, 1, 0, 5, 0], Ok(())),
        (&[0x30, 3, 0x0a, 1, 6], Err("tells of an error")),
        (&[0x30, 4, 0x0a, 1, 0], Err("is not whole")),
        (&[0x30, 3, 0x0a, 1, 0, 0], Err("is not whole")),
        (&[0x30, 3, 0x02, 1, 0], Err("is not an OCSP response")),
        (&[], Err("is not an OCSP response")),
        (b"-----BEGIN OCSP RESPONSE-----", Err("is PEM")),
    ] {
        match (check_ocsp(response), verdict) {
            (Ok(()), Ok(())) => {}
            (Err(told), Err(expected)) => assert!(told.contains(expected), "{response:?}: {told}"),
            (told, _) => panic!("{response:?}: {told:?}"),
        }
    }
}

#[test]
fn a_certificate_is_found_by_the_name_that_a_client_asks_for() {
    let (folder, authority) = (Folder::new("names"), Authority::new());
    let loaded: Vec<Loaded> = [&["one.test"][..], &["two.test", "*.two.test"], &["A.Two.Test"]]
        .iter()
        .enumerate()
        .map(|(index, names)| load_files(&folder.pair(&authority, &index.to_string(), names)).unwrap())
        .collect();
    let by_name = ByName::new(&loaded);
    for (name, index) in [
        (None, 0),
        (Some("one.test"), 0),
        (Some("two.test"), 1),
        (Some("b.two.test"), 1),
        (Some("a.two.test"), 2),
        (Some("x.b.two.test"), 0),
        (Some("localhost"), 0),
        (Some(".two.test"), 1),
        (Some("test"), 0),
    ] {
        let found = by_name.find(name);
        assert!(Arc::ptr_eq(&found[0], &loaded[index].key), "{name:?}");
    }
}

#[test]
fn of_several_keys_for_a_name_one_is_taken_that_the_client_can_verify() {
    let (folder, authority) = (Folder::new("schemes"), Authority::new());
    let ecdsa = load_files(&folder.pair(&authority, "ecdsa", &["one.test"])).unwrap();
    let ed25519 = load_files(&folder.ed25519(&authority, "ed", &["one.test"])).unwrap();
    let by_name = ByName::new(&[ecdsa.clone(), ed25519.clone()]);
    let keys = by_name.find(Some("one.test"));
    assert_eq!((keys.len(), by_name.default.len()), (2, 2));
    let chosen = |scheme| choose(keys, &[scheme]).unwrap();
    assert!(Arc::ptr_eq(&chosen(SignatureScheme::ED25519), &ed25519.key));
    assert!(Arc::ptr_eq(&chosen(SignatureScheme::ECDSA_NISTP256_SHA256), &ecdsa.key));
    assert!(Arc::ptr_eq(&chosen(SignatureScheme::RSA_PSS_SHA256), &ecdsa.key), "the handshake then tells");
}

#[test]
fn a_certificate_whose_text_stands_in_the_configuration_needs_no_file() {
    let (folder, authority) = (Folder::new("named"), Authority::new());
    let [one, two] = ["one.test", "two.test"].map(|name| folder.pair(&authority, name, &[name]));
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let named = |chain: &Path, key: &Path| {
        let named = NamedCertificate { name: "site".into(), chain: text(chain), key: text(key) };
        load(&Certificate::Named(Arc::new(named)), &provider())
    };
    let loaded = named(&one.chain, &one.key).unwrap();
    assert_eq!(loaded.facts.names, ["one.test"]);
    let told = named(&one.chain, &two.key).unwrap_err().to_string();
    assert!(told.starts_with("certificate \"site\": key: is not the key of the first"), "{told}");
}
