//! The published test vectors of every primitive, through the functions that use it. Those of the cipher are
//! beside it.

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use sha2::{Digest, Sha256};

use crate::keys::derive;

/// Bytes from hex digits; white space is for the reader.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn sha256_of_fips_180() {
    assert_eq!(
        Sha256::digest("abc").as_slice(),
        hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    );
    assert_eq!(
        Sha256::digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").as_slice(),
        hex("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
    );
}

#[test]
fn hkdf_sha256_of_rfc_5869() {
    let range = |from: u8, to: u8| (from..=to).collect::<Vec<_>>();
    let basic = derive::<42>(&[0x0b; 22], &range(0x00, 0x0c), &[&range(0xf0, 0xf4), &range(0xf5, 0xf9)]);
    assert_eq!(
        basic.expose().as_slice(),
        hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    );
    let long = derive::<82>(&range(0x00, 0x4f), &range(0x60, 0xaf), &[&range(0xb0, 0xff)]);
    assert_eq!(
        long.expose().as_slice(),
        hex("b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87")
    );
    let bare = derive::<42>(&[0x0b; 22], &[], &[]);
    assert_eq!(
        bare.expose().as_slice(),
        hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")
    );
}

/// `test_vectors.json` of the BLAKE3 project, `keyed_hash`, first 32 bytes.
#[test]
fn keyed_blake3_of_its_authors() {
    let cases = [
        (0, "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"),
        (1, "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b"),
        (1023, "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e"),
        (1025, "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69"),
        (4096, "befc660aea2f1718884cd8deb9902811d332f4fc4a38cf7c7300d597a081bfc0"),
        (5121, "6ccf1c34753e7a044db80798ecd0782a8f76f33563accaddbfbb2e0ea4b2d024"),
    ];
    for (len, hash) in cases {
        let input: Vec<_> = (0..=250).cycle().take(len).collect();
        assert_eq!(blake3::keyed_hash(b"whats the Elvish word for friend", &input).as_bytes().as_slice(), hex(hash));
    }
}

#[test]
fn argon2id_of_rfc_9106() {
    let data = AssociatedData::new(&[4; 12]).unwrap();
    let params = ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).output_len(32).data(data).build().unwrap();
    let blocks = &mut vec![argon2::Block::new(); params.block_count()];
    let argon2 = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
    let mut tag = [0; 32];
    argon2.hash_password_into_with_memory(&[1; 32], &[2; 16], &mut tag, blocks).unwrap();
    assert_eq!(tag.as_slice(), hex("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"));
}
