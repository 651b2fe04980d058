package kmip

import (
	"errors"
	"fmt"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/ttlv"
)

// Object is a managed object's value (section 2.2). Keys and Secret Data have a KeyBlock; a Certificate and an Opaque
// Object have Data.
type Object struct {
	Type            ObjectType
	SecretDataType  SecretDataType
	OpaqueDataType  OpaqueDataType
	CertificateType CertificateType
	KeyBlock        KeyBlock
	Data            secret.Bytes
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
		c.Bytes(ttlv.TagCertificateValue, (*[]byte)(&o.Data))
	case OpaqueObject:
		ttlv.Enum(c, ttlv.TagOpaqueDataType, &o.OpaqueDataType)
		c.Bytes(ttlv.TagOpaqueDataValue, (*[]byte)(&o.Data))
	case SecretDataObject:
		ttlv.Enum(c, ttlv.TagSecretDataType, &o.SecretDataType)
		c.Struct(ttlv.TagKeyBlock, o.KeyBlock.fields)
	default:
		c.Struct(ttlv.TagKeyBlock, o.KeyBlock.fields)
	}
}

// Bytes is the object's value: key material, a passphrase, a certificate or opaque data. It aliases the object.
func (o *Object) Bytes() (secret.Bytes, error) {
	switch o.Type {
	case CertificateObject, OpaqueObject:
		return o.Data, nil
	}
	return o.KeyBlock.bytes()
}

// KeyBlock carries a key (section 2.1.3). Algorithm and Length (in bits) are 0 where the server leaves them out.
type KeyBlock struct {
	Format      KeyFormatType
	Compression KeyCompressionType
	Algorithm   CryptographicAlgorithm
	Length      int32
	Encrypted   bool        // Material is the whole Key Value, encrypted
	Material    ttlv.Value  // a Byte String, or the structure of a transparent key
	Attributes  Attributes  // of the key, within its value
	Wrapping    *ttlv.Value // Key Wrapping Data, nil where there is none
}

func (k *KeyBlock) fields(c *ttlv.Coder) {
	ttlv.Enum(c, ttlv.TagKeyFormatType, &k.Format)
	ttlv.Optional(c, ttlv.TagKeyCompressionType, &k.Compression, ttlv.Enum[KeyCompressionType])
	if c.Present(ttlv.TagKeyValue, k.Material.Type != 0) {
		k.keyValue(c)
	}
	ttlv.Optional(c, ttlv.TagCryptographicAlgorithm, &k.Algorithm, ttlv.Enum[CryptographicAlgorithm])
	ttlv.Optional(c, ttlv.TagCryptographicLength, &k.Length, (*ttlv.Coder).Int)
	if c.Present(ttlv.TagKeyWrappingData, k.Wrapping != nil) {
		if k.Wrapping == nil {
			k.Wrapping = new(ttlv.Value)
		}
		c.Value(ttlv.TagKeyWrappingData, k.Wrapping)
	}
}

// keyValue is a structure, or a Byte String where it is encrypted (section 2.1.4).
func (k *KeyBlock) keyValue(c *ttlv.Coder) {
	if k.Encrypted || c.TypeOf(ttlv.TagKeyValue) == ttlv.TypeByteString {
		k.Encrypted = true
		c.Value(ttlv.TagKeyValue, &k.Material)
		return
	}
	c.Struct(ttlv.TagKeyValue, func(c *ttlv.Coder) {
		c.Value(ttlv.TagKeyMaterial, &k.Material)
		k.Attributes.list(c)
	})
}

// IsWrapped reports whether the key, or the whole of its value, is encrypted.
func (k *KeyBlock) IsWrapped() bool { return k.Encrypted || k.Wrapping != nil }

// IsCompressed reports whether the material is shorter than its format says.
func (k *KeyBlock) IsCompressed() bool { return k.Compression > UncompressedECPublicKey }

// BytesMaterial is key material that is a plain Byte String.
func BytesMaterial(key secret.Bytes) ttlv.Value {
	return ttlv.Value{Type: ttlv.TypeByteString, Data: key}
}

func (k *KeyBlock) bytes() (secret.Bytes, error) {
	switch {
	case k.IsWrapped():
		return nil, errors.New("kmip: the server returned the key wrapped")
	case k.IsCompressed():
		return nil, fmt.Errorf("kmip: key compression type 0x%X", uint32(k.Compression))
	case k.Material.Type == ttlv.TypeByteString:
		return k.Material.Data, nil
	case k.Format == TransparentSymmetricKey:
		var key []byte
		err := k.Material.Struct(0, func(c *ttlv.Coder) { c.Bytes(ttlv.TagKey, &key) })
		return key, err
	}
	return nil, fmt.Errorf("kmip: key material of format 0x%X as %v", uint32(k.Format), k.Material.Type)
}
