package kmip

import (
	"errors"
	"fmt"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/ttlv"
)

// Object is a managed object (section 2.2). Of keys and Secret Data, KeyBlock tells what Value is.
type Object struct {
	Type            ObjectType
	SecretDataType  SecretDataType
	OpaqueDataType  OpaqueDataType
	CertificateType CertificateType
	Value           ttlv.Value // a Byte String, or the structure of a transparent key; none where the server keeps it back
	KeyBlock        KeyBlock
}

// objectTags are the structures that carry the object types (section 9.1.3.1).
var objectTags = [...]ttlv.Tag{
	CertificateObject: ttlv.TagCertificate, SymmetricKeyObject: ttlv.TagSymmetricKey, PublicKeyObject: ttlv.TagPublicKey,
	PrivateKeyObject: ttlv.TagPrivateKey, SecretDataObject: ttlv.TagSecretData, OpaqueObject: ttlv.TagOpaqueObject,
}

// object is the structure that carries the object; its type was read before. One of a type that is not known here is passed
// over: it may be one of many in a batch.
func (o *Object) object(c *ttlv.Coder) {
	if int64(o.Type) >= int64(len(objectTags)) || objectTags[o.Type] == 0 {
		if c.Strict {
			c.Fail(ttlv.TagObjectType, "no object type %v here", o.Type)
		}
		return
	}
	c.Struct(objectTags[o.Type], o.fields)
}

func (o *Object) fields(c *ttlv.Coder) {
	switch o.Type {
	case CertificateObject:
		ttlv.Enum(c, ttlv.TagCertificateType, &o.CertificateType)
		o.bytes(c, ttlv.TagCertificateValue)
	case OpaqueObject:
		ttlv.Enum(c, ttlv.TagOpaqueDataType, &o.OpaqueDataType)
		o.bytes(c, ttlv.TagOpaqueDataValue)
	case SecretDataObject:
		ttlv.Enum(c, ttlv.TagSecretDataType, &o.SecretDataType)
		c.Struct(ttlv.TagKeyBlock, o.keyBlock)
	default:
		c.Struct(ttlv.TagKeyBlock, o.keyBlock)
	}
}

// bytes is a value that is a Byte String whatever the object.
func (o *Object) bytes(c *ttlv.Coder, tag ttlv.Tag) {
	if c.Reading() {
		o.Value.Type = ttlv.TypeByteString
	}
	c.Bytes(tag, &o.Value.Data)
}

// KeyBlock is what is said of a key (section 2.1.3). Algorithm and Length (in bits) are 0 where the server leaves them out.
type KeyBlock struct {
	Format      KeyFormatType
	Compression KeyCompressionType
	Algorithm   CryptographicAlgorithm
	Length      int32
	Attributes  Attributes // of the key, within its value
	Wrapping    *Wrapping  // nil where the key is not encrypted
}

// Wrapping is how a key is encrypted (section 2.1.5).
type Wrapping struct {
	Whole bool       // the object's Value is the whole Key Value, encrypted (section 2.1.4)
	Data  ttlv.Value // Key Wrapping Data
}

func (o *Object) keyBlock(c *ttlv.Coder) {
	k := &o.KeyBlock
	ttlv.Enum(c, ttlv.TagKeyFormatType, &k.Format)
	ttlv.Optional(c, ttlv.TagKeyCompressionType, &k.Compression, ttlv.Enum[KeyCompressionType])
	if c.Present(ttlv.TagKeyValue, o.Value.Type != 0) {
		o.keyValue(c)
	}
	ttlv.Optional(c, ttlv.TagCryptographicAlgorithm, &k.Algorithm, ttlv.Enum[CryptographicAlgorithm])
	ttlv.Optional(c, ttlv.TagCryptographicLength, &k.Length, (*ttlv.Coder).Int)
	if c.Present(ttlv.TagKeyWrappingData, k.Wrapping != nil && k.Wrapping.Data.Type != 0) {
		if k.Wrapping == nil {
			k.Wrapping = new(Wrapping)
		}
		c.Value(ttlv.TagKeyWrappingData, &k.Wrapping.Data)
	}
}

// keyValue is a structure, or a Byte String where it is encrypted (section 2.1.4).
func (o *Object) keyValue(c *ttlv.Coder) {
	k := &o.KeyBlock
	if c.TypeOf(ttlv.TagKeyValue) == ttlv.TypeByteString {
		k.Wrapping = &Wrapping{Whole: true}
	}
	if k.Wrapping != nil && k.Wrapping.Whole {
		c.Value(ttlv.TagKeyValue, &o.Value)
		return
	}
	c.Struct(ttlv.TagKeyValue, func(c *ttlv.Coder) {
		c.Value(ttlv.TagKeyMaterial, &o.Value)
		k.Attributes.list(c)
	})
}

// IsWrapped reports whether the key, or the whole of its value, is encrypted.
func (k *KeyBlock) IsWrapped() bool { return k.Wrapping != nil }

// IsCompressed reports whether the value is shorter than its format says.
func (k *KeyBlock) IsCompressed() bool { return k.Compression > UncompressedECPublicKey }

// Bytes is the object's value: a key, a passphrase, a certificate or opaque data. It aliases the object.
func (o *Object) Bytes() (secret.Bytes, error) {
	switch k := &o.KeyBlock; {
	case k.IsWrapped():
		return nil, errors.New("kmip: the server returned the key wrapped")
	case k.IsCompressed():
		return nil, fmt.Errorf("kmip: key compression type 0x%X", uint32(k.Compression))
	case o.Value.Type == ttlv.TypeByteString && (o.Type != SymmetricKeyObject || k.Format <= Opaque):
		return o.Value.Data, nil
	case k.Format == TransparentSymmetricKey:
		var key []byte
		err := o.Value.Struct(0, func(c *ttlv.Coder) { c.Bytes(ttlv.TagKey, &key) })
		return key, err
	}
	return nil, fmt.Errorf("kmip: key material of format 0x%X as %v", uint32(o.KeyBlock.Format), o.Value.Type)
}
