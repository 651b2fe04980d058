package protocol

import (
	"maps"
	"slices"
)

// result is what an operation answers. Encoding is by hand so that no secret passes through memory that is not cleared.
type result interface{ encode(b *buffer) }

// KeyID answers create_key, store_key and copy_key.
type KeyID struct {
	KeyID string
}

func (k *KeyID) encode(b *buffer) {
	b.raw(`{"key_id":`)
	b.text(k.KeyID)
	b.raw("}")
}

// KeyPair answers create_key_pair.
type KeyPair struct {
	PrivateKeyID string
	PublicKeyID  string
}

func (k *KeyPair) encode(b *buffer) {
	b.raw(`{"private_key_id":`)
	b.text(k.PrivateKeyID)
	b.raw(`,"public_key_id":`)
	b.text(k.PublicKeyID)
	b.raw("}")
}

// Done answers the operations that have nothing to say.
type Done struct{}

func (*Done) encode(b *buffer) { b.raw("{}") }

// KeyList answers list_keys.
type KeyList struct {
	Objects []*Object
}

// Clear overwrites the values.
func (k *KeyList) Clear() {
	for _, o := range k.Objects {
		o.Clear()
	}
}

func (k *KeyList) encode(b *buffer) {
	b.raw(`{"objects":`)
	list(b, k.Objects, (*Object).encodeBare)
	b.raw("}")
}

// Check answers check: what was found on the way to a working key manager. The steps go up to the first that failed:
//
//	configuration    the options, and the sections that they lead to
//	key file         there, and not for others to read
//	certificate      fits the key, holds now, may be shown to servers; and the trusted CAs
//	name resolution  of every host
//	tcp              a connection to every host
//	tls              version, suite, and the server's certificate with those above it
//	kmip             version, vendor, operations
//	credential       the server knows who asks
//	round trip       a key created, read and destroyed, where that was asked for
//
// After certificate, each host takes the steps by itself. One that passes makes a step ok, unless operations would stay with
// one before it that answers and cannot be used. The others stand in the step's detail, and what to do about them in its
// advice.
type Check struct {
	OK     bool               // every step is
	Files  []string           // the configuration files that were read, in order
	Config map[string]*string // every option's effective text, *** for a secret, nil where it has none
	Steps  []Step             // in the order taken
}

// Step is one step of a Check.
type Step struct {
	Step   string // its name: "tls"
	OK     bool   // with a reservation where there is advice
	Detail string // what was found, "" for nothing worth telling
	Advice string // what an operator should do, "" where all is well; beside ok, what is not as it should be
}

func (c *Check) encode(b *buffer) {
	b.raw(`{"ok":`)
	b.bool(c.OK)
	b.raw(`,"files":`)
	list(b, c.Files, func(file string, b *buffer) { b.text(file) })
	b.raw(`,"config":{`)
	c.encodeConfig(b)
	b.raw(`},"steps":`)
	list(b, c.Steps, Step.encode)
	b.raw("}")
}

func (c *Check) encodeConfig(b *buffer) {
	for i, option := range slices.Sorted(maps.Keys(c.Config)) {
		if i > 0 {
			b.raw(",")
		}
		b.text(option)
		b.raw(":")
		if value := c.Config[option]; value != nil {
			b.text(*value)
		} else {
			b.raw("null")
		}
	}
}

func (s Step) encode(b *buffer) {
	b.raw(`{"step":`)
	b.text(s.Step)
	b.raw(`,"ok":`)
	b.bool(s.OK)
	b.raw(`,"detail":`)
	b.textOrNull(s.Detail)
	b.raw(`,"advice":`)
	b.textOrNull(s.Advice)
	b.raw("}")
}
