//! temporary
use hushkeep_repo::{RelPath, Tree};
use hushkeep_sources::{FolderOptions, FolderTree};
use std::io::Read;
fn cpu() -> (f64, f64) {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() / 100.0, f[12].parse::<f64>().unwrap() / 100.0)
}
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let name = std::env::args().nth(2).unwrap();
    let tree = FolderTree::new(dir.as_ref(), FolderOptions::default()).unwrap();
    let mut buffer = vec![0u8; 1 << 20];
    for mode in ["plain", "view"] {
        let (u, s) = cpu();
        let t = std::time::Instant::now();
        let mut total = 0u64;
        let mut sum = 0u64;
        for _ in 0..10 {
            if mode == "plain" {
                let mut f = std::fs::File::open(format!("{dir}/{name}")).unwrap();
                loop {
                    let n = f.read(&mut buffer).unwrap();
                    if n == 0 {
                        break;
                    }
                    total += n as u64;
                    sum = sum.wrapping_add(u64::from(buffer[n - 1]));
                }
            } else {
                let mut v = tree.open(&RelPath::new(name.as_bytes()).unwrap()).unwrap();
                loop {
                    let n = v.read(&mut buffer).unwrap();
                    if n == 0 {
                        break;
                    }
                    total += n as u64;
                    sum = sum.wrapping_add(u64::from(buffer[n - 1]));
                }
                let absorbed = v.absorbed().len();
                let c = v.finish().unwrap();
                if total < 200 << 20 {
                    println!("{c:?} absorbed {absorbed}");
                }
            }
        }
        let (u2, s2) = cpu();
        let gb = total as f64 / 1e9;
        println!(
            "{mode}: {total} bytes, wall {:.3} s/GB, user {:.3} sys {:.3} s/GB {sum}",
            t.elapsed().as_secs_f64() / gb,
            (u2 - u) / gb,
            (s2 - s) / gb
        );
    }
}
