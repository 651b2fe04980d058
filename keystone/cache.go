package keystone

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

const (
	maxCached        = 4096        // tokens, of about 1 KiB each
	expiredCacheTime = time.Minute // for an expired token that was accepted
)

// digest stands for a token. It is keyed, so that a dump of memory tells nobody which tokens were seen.
type digest [sha256.Size]byte

// cache remembers what Keystone said of tokens that it accepted. Several spellings of one token are several entries.
type cache struct {
	lifetime time.Duration
	key      [32]byte
	mu       sync.Mutex
	entries  map[digest]entry
}

// entry holds until a time of the monotonic clock, beside the token's own expiry.
type entry struct {
	token *Token
	until time.Time
}

func newCache(lifetime time.Duration) *cache {
	c := &cache{lifetime: lifetime, entries: map[digest]entry{}}
	rand.Read(c.key[:])
	return c
}

func (c *cache) digest(token string) (d digest) {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write([]byte(token))
	mac.Sum(d[:0])
	return d
}

// lookup is nil for what is not known. expired says whether an expired token will do.
func (c *cache) lookup(d digest, expired bool) *Token {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[d]
	if !ok || !now.Before(e.until) || !expired && e.token.expired(now) {
		return nil
	}
	return e.token
}

// store keeps what Keystone said when it was asked: the time of the answer would be too late.
func (c *cache) store(d digest, t *Token, asked time.Time) {
	if c.lifetime <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.entries[d]; !known && len(c.entries) >= maxCached {
		c.evict(time.Now())
	}
	c.entries[d] = entry{t, asked.Add(c.lifetimeOf(t, asked))}
}

func (c *cache) lifetimeOf(t *Token, now time.Time) time.Duration {
	if t.expired(now) {
		return min(c.lifetime, expiredCacheTime)
	}
	return min(c.lifetime, t.ExpiresAt.Sub(now))
}

// evict drops what no longer holds or, where all does, any one.
func (c *cache) evict(now time.Time) {
	for d, e := range c.entries {
		if !now.Before(e.until) {
			delete(c.entries, d)
		}
	}
	for d := range c.entries {
		if len(c.entries) < maxCached {
			break
		}
		delete(c.entries, d)
	}
}
