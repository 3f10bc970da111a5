//! Tokens whose signature was found good before.
//!
//! Checking a signature costs some 50 microseconds, far more than the rest of a request.
//!
//! **Invariants.** Only tokens with a good signature enter, so nobody without one can push others
//! out; and no more than [`TOKENS_SEEN_MAX`] are kept.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};

/// How many tokens are remembered per process.
pub const TOKENS_SEEN_MAX: usize = 32_768;

const SHARDS: usize = 16;
const SHARD_TOKENS_MAX: usize = TOKENS_SEEN_MAX / SHARDS;

/// SHA-256 of a token's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// That of this text.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// Something whose time may be over.
pub trait Lasting {
    /// Whether it is at this time, in microseconds since 1970 UTC.
    fn expired(&self, now_us: i64) -> bool;
}

type Shard<T> = HashMap<TokenHash, Arc<T>>;

/// Sharded, so that threads rarely meet.
pub struct TokenCache<T>([RwLock<Shard<T>>; SHARDS]);

impl<T> Default for TokenCache<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| RwLock::default()))
    }
}

impl<T: Lasting> TokenCache<T> {
    /// What is remembered of the token.
    pub fn get(&self, hash: &TokenHash) -> Option<Arc<T>> {
        // A map is whole between two calls of its methods, so a panic elsewhere cannot have torn it.
        self.shard(hash).read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    /// Remembers a token whose signature is good.
    pub fn put(&self, hash: TokenHash, token: &Arc<T>, now_us: i64) {
        let mut shard = self.shard(&hash).write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_TOKENS_MAX {
            shard.retain(|_, seen| !seen.expired(now_us));
        }
        if shard.len() >= SHARD_TOKENS_MAX {
            // All still count: any one goes. It costs its owner one signature check.
            let evicted = shard.keys().next().copied();
            evicted.map(|hash| shard.remove(&hash));
        }
        shard.insert(hash, Arc::clone(token));
    }

    fn shard(&self, hash: &TokenHash) -> &RwLock<Shard<T>> {
        &self.0[usize::from(hash.0[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Claims, VerifiedToken};
    use super::*;

    fn token(expires_at_s: i64) -> Arc<VerifiedToken> {
        Arc::new(VerifiedToken {
            claims: Claims {
                issuer: String::new(),
                audience: String::new(),
                subject: String::new(),
                session: String::new(),
                issued_at_s: 0,
                expires_at_s,
            },
            kid: String::new(),
        })
    }

    fn count(cache: &TokenCache<VerifiedToken>) -> usize {
        cache.0.iter().map(|shard| shard.read().unwrap().len()).sum()
    }

    #[test]
    fn the_cache_stays_within_its_limit_and_keeps_the_latest() {
        let cache = TokenCache::default();
        let token = token(10);
        let mut latest = TokenHash::of("");
        for number in 0..TOKENS_SEEN_MAX * 2 {
            latest = TokenHash::of(&number.to_string());
            cache.put(latest, &token, 0);
        }
        assert!(count(&cache) <= TOKENS_SEEN_MAX);
        assert!(cache.get(&latest).is_some());
    }

    #[test]
    fn expired_tokens_make_room_first() {
        let cache = TokenCache::default();
        let lasting = TokenHash::of("lasting");
        cache.put(lasting, &token(1_000), 0);
        let brief = token(1);
        for number in 0..TOKENS_SEEN_MAX * 2 {
            cache.put(TokenHash::of(&number.to_string()), &brief, 2_000_000);
        }
        assert!(cache.get(&lasting).is_some());
    }
}
