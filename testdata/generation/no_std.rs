#![no_std]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
trait Op { fn go(&self, x: u64) -> u64; }
struct Mix;
struct Fold(u64);
impl Op for Mix { fn go(&self, x: u64) -> u64 { x.wrapping_mul(31) ^ 7 } }
impl Op for Fold { fn go(&self, x: u64) -> u64 { (0..self.0).fold(x, |a, b| a.rotate_left(3) ^ b) } }
fn collatz(mut n: u64) -> u32 { let mut s = 0; while n > 1 { n = if n & 1 == 1 { 3 * n + 1 } else { n / 2 }; s += 1; } s }
#[inline(never)] fn largest<T: Copy + PartialOrd, F: Fn(T) -> T>(items: &[T], f: F) -> Option<T> { let mut best = None; for &i in items { let v = f(i); if best.map_or(true, |b| v > b) { best = Some(v); } } best }
mod inner { #[inline(never)] pub fn count(words: &[u8]) -> [u16; 8] { let mut m = [0u16; 8]; for w in words { m[(w & 7) as usize] += 1; } m } }
#[no_mangle] pub extern "C" fn rust_main(n: u64) -> u64 {
    let ops: [&dyn Op; 3] = [&Mix, &Fold(9), &Mix];
    let mut t = 0u64;
    for i in 0..n { t = ops[(i % 3) as usize].go(t + collatz(i) as u64); }
    let bytes = t.to_le_bytes();
    let m = inner::count(&bytes);
    t ^ largest(&m, |v| v.wrapping_mul(3)).unwrap_or(0) as u64 ^ largest(&[1i64, 2, n as i64], |v| -v).unwrap_or(0) as u64
}
