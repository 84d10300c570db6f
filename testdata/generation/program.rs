use std::collections::HashMap;
trait Op { fn go(&self, x: u64) -> u64; }
struct A; struct B(u64);
impl Op for A { fn go(&self, x: u64) -> u64 { x.wrapping_mul(31) ^ 7 } }
impl Op for B { fn go(&self, x: u64) -> u64 { (0..self.0).fold(x, |a, b| a.rotate_left(3) ^ b) } }
#[inline(never)] fn count(words: &[String]) -> HashMap<String, usize> { let mut m = HashMap::new(); for w in words { *m.entry(w.clone()).or_insert(0) += 1; } m }
fn main() {
    let words: Vec<String> = (0..500u64).map(|i| format!("w{}", i * 7919 % 97)).collect();
    let m = count(&words); let mut v: Vec<_> = m.into_iter().collect(); v.sort();
    let ops: Vec<Box<dyn Op>> = vec![Box::new(A), Box::new(B(9)), Box::new(A)];
    let mut t = 0u64; for i in 0..300 { t = ops[i % 3].go(t + i as u64); }
    println!("{} {} {:?}", v.len(), t, v.iter().max_by_key(|x| x.1));
}
