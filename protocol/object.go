package protocol

import "kmip-keymgr/internal/secret"

// ObjectType is what an object is, in Castellan's words.
type ObjectType string

// The types of objects, all there are.
const (
	SymmetricKey ObjectType = "symmetric"
	PublicKey    ObjectType = "public"
	PrivateKey   ObjectType = "private"
	Certificate  ObjectType = "certificate"
	Passphrase   ObjectType = "passphrase"
	OpaqueData   ObjectType = "opaque"
)

// IsKey reports whether objects of the type have an algorithm and a length.
func (t ObjectType) IsKey() bool { return t == SymmetricKey || t == PublicKey || t == PrivateKey }

func (t ObjectType) check(field string) error {
	switch t {
	case SymmetricKey, PublicKey, PrivateKey, Certificate, Passphrase, OpaqueData:
		return nil
	}
	return invalid("%s: must be one of symmetric, public, private, certificate, passphrase, opaque", field)
}

// Object is what is kept in a key manager, in the shape of Castellan's ManagedObject.to_dict(). Zero values of Name,
// Created, Algorithm, BitLength, ID and State, and a nil Value, are null in JSON.
type Object struct {
	Type      ObjectType
	Name      string
	Created   int64        // Unix seconds
	Value     secret.Bytes // hex in JSON; nil for metadata only
	Algorithm string       // of keys; in the caller's case when read
	BitLength int          // of keys
	ID        string       // a key id
	Consumers []Consumer
	State     string
}

// Clear overwrites the value.
func (o *Object) Clear() { o.Value.Clear() }

// decode reads what can be stored: the type, the name and the bytes. The rest is the key manager's to say.
func (o *Object) decode(d *decoder) {
	d.object(func(name []byte) {
		switch string(name) {
		case "type":
			d.string((*string)(&o.Type))
		case "name":
			d.string(&o.Name)
		case "value":
			d.hex(&o.Value)
		case "algorithm":
			d.string(&o.Algorithm)
		case "bit_length":
			d.bits(&o.BitLength)
		}
	})
}

// check reports whether the object can be stored.
func (o *Object) check() error {
	if err := o.Type.check("args.object.type"); err != nil {
		return err
	}
	if o.Value == nil {
		return required("args.object.value")
	}
	return nil
}

// encode writes the object as the result of get_key.
func (o *Object) encode(b *buffer) {
	b.raw(`{"object":`)
	o.encodeBare(b)
	b.raw("}")
}

func (o *Object) encodeBare(b *buffer) {
	b.raw(`{"type":`)
	b.text(string(o.Type))
	b.raw(`,"name":`)
	b.textOrNull(o.Name)
	b.raw(`,"created":`)
	b.numberOrNull(o.Created)
	b.raw(`,"value":`)
	b.hex(o.Value)
	if o.Type.IsKey() {
		b.raw(`,"algorithm":`)
		b.textOrNull(o.Algorithm)
		b.raw(`,"bit_length":`)
		b.numberOrNull(int64(o.BitLength))
	}
	b.raw(`,"id":`)
	b.textOrNull(o.ID)
	b.raw(`,"consumers":`)
	list(b, o.Consumers, Consumer.encode)
	b.raw(`,"state":`)
	b.textOrNull(o.State)
	b.raw("}")
}

// Consumer is something that needs a key, in the words of the OpenStack service that says so.
type Consumer struct {
	Service      string // "cinder"
	ResourceType string // "volume"
	ResourceID   string
}

func (c *Consumer) decode(d *decoder) {
	d.object(func(name []byte) {
		switch string(name) {
		case "service":
			d.string(&c.Service)
		case "resource_type":
			d.string(&c.ResourceType)
		case "resource_id":
			d.string(&c.ResourceID)
		}
	})
}

func (c *Consumer) check() error {
	switch {
	case c.Service == "":
		return required("args.consumer.service")
	case c.ResourceType == "":
		return required("args.consumer.resource_type")
	case c.ResourceID == "":
		return required("args.consumer.resource_id")
	}
	return nil
}

func (c Consumer) encode(b *buffer) {
	b.raw(`{"service":`)
	b.text(c.Service)
	b.raw(`,"resource_type":`)
	b.text(c.ResourceType)
	b.raw(`,"resource_id":`)
	b.text(c.ResourceID)
	b.raw("}")
}
