package kmip

import (
	"fmt"
	"strings"
)

// The enumerations carry what is used; a value without a name here travels unharmed.

// ResultStatus is the outcome of one batch item (section 6.9).
type ResultStatus uint32

// The outcomes.
const (
	StatusSuccess ResultStatus = 0
	StatusFailed  ResultStatus = 1
	StatusPending ResultStatus = 2
)

// BatchErrorContinuation says what a server does with the items after one that failed (section 6.13).
type BatchErrorContinuation uint32

// What to do with the rest of a batch; Stop is the default.
const (
	BatchContinue BatchErrorContinuation = 1
	BatchStop     BatchErrorContinuation = 2
	BatchUndo     BatchErrorContinuation = 3
)

// AsynchronousIndicator says whether a server may, or must, answer later than at once. None is the same as Prohibited.
type AsynchronousIndicator uint32

// The three of 2.x; 1.x knows the last two.
const (
	AsynchronousMandatory  AsynchronousIndicator = 1
	AsynchronousOptional   AsynchronousIndicator = 2
	AsynchronousProhibited AsynchronousIndicator = 3
)

// ObjectType is the type of a managed object (section 9.1.3.2.12).
type ObjectType uint32

// The object types this package carries.
const (
	CertificateObject  ObjectType = 1
	SymmetricKeyObject ObjectType = 2
	PublicKeyObject    ObjectType = 3
	PrivateKeyObject   ObjectType = 4
	SecretDataObject   ObjectType = 7
	OpaqueObject       ObjectType = 8
)

var objectTypeNames = [...]string{
	CertificateObject: "Certificate", SymmetricKeyObject: "SymmetricKey", PublicKeyObject: "PublicKey",
	PrivateKeyObject: "PrivateKey", SecretDataObject: "SecretData", OpaqueObject: "OpaqueObject",
}

func (t ObjectType) String() string { return name(objectTypeNames[:], uint32(t)) }

// State is where an object is in its life (section 3.22).
type State uint32

// The states.
const (
	PreActive            State = 1
	Active               State = 2
	Deactivated          State = 3
	Compromised          State = 4
	Destroyed            State = 5
	DestroyedCompromised State = 6
)

var stateNames = [...]string{
	PreActive: "PreActive", Active: "Active", Deactivated: "Deactivated", Compromised: "Compromised",
	Destroyed: "Destroyed", DestroyedCompromised: "DestroyedCompromised",
}

func (s State) String() string { return name(stateNames[:], uint32(s)) }

// IsDestroyed reports whether only the object's attributes are left.
func (s State) IsDestroyed() bool { return s == Destroyed || s == DestroyedCompromised }

// KeyFormatType is the form of key material (section 9.1.3.2.3).
type KeyFormatType uint32

// The formats in use.
const (
	Raw                     KeyFormatType = 1
	Opaque                  KeyFormatType = 2
	PKCS1                   KeyFormatType = 3
	PKCS8                   KeyFormatType = 4
	X509                    KeyFormatType = 5
	ECPrivateKey            KeyFormatType = 6
	TransparentSymmetricKey KeyFormatType = 7
)

// KeyCompressionType is how the material of a public key is shortened (section 9.1.3.2.2).
type KeyCompressionType uint32

// UncompressedECPublicKey is the one type that shortens nothing.
const UncompressedECPublicKey KeyCompressionType = 1

// UsageMask is the Cryptographic Usage Mask, a set of bits (section 9.1.3.3.1).
type UsageMask int32

// The uses in use.
const (
	UsageSign        UsageMask = 0x001
	UsageVerify      UsageMask = 0x002
	UsageEncrypt     UsageMask = 0x004
	UsageDecrypt     UsageMask = 0x008
	UsageMACGenerate UsageMask = 0x080
	UsageMACVerify   UsageMask = 0x100
	UsageDeriveKey   UsageMask = 0x200
)

// NameType is the type of a Name (section 9.1.3.2.11).
type NameType uint32

// UninterpretedText is a name that means nothing to the server.
const UninterpretedText NameType = 1

// SecretDataType is the type of secret data (section 9.1.3.2.9).
type SecretDataType uint32

// PasswordData is a password or passphrase.
const PasswordData SecretDataType = 1

// OpaqueDataType is the type of opaque data (section 9.1.3.2.10): vendors' values only.
type OpaqueDataType uint32

// OpaqueData marks data that has no type, the first of the values left to vendors.
const OpaqueData OpaqueDataType = 0x80000000

// CertificateType is the type of a certificate (section 9.1.3.2.6).
type CertificateType uint32

// X509Certificate is an X.509 certificate.
const X509Certificate CertificateType = 1

// RevocationReasonCode says why an object is revoked (section 9.1.3.2.19).
type RevocationReasonCode uint32

// The reasons in use. CessationOfOperation deactivates an Active object; KeyCompromise also works on one that is not.
const (
	KeyCompromise        RevocationReasonCode = 2
	CessationOfOperation RevocationReasonCode = 6
)

// LinkType says how two objects belong together (section 9.1.3.2.20).
type LinkType uint32

// The halves of a key pair.
const (
	PublicKeyLink  LinkType = 0x102
	PrivateKeyLink LinkType = 0x103
)

// QueryFunction is one question of a Query (section 9.1.3.2.24).
type QueryFunction uint32

// The questions in use.
const (
	QueryOperations        QueryFunction = 1
	QueryObjects           QueryFunction = 2
	QueryServerInformation QueryFunction = 3
)

// CryptographicAlgorithm is an algorithm (section 9.1.3.2.13).
type CryptographicAlgorithm uint32

// The algorithms that have a name here. Any other is known by its number.
const (
	DES              CryptographicAlgorithm = 0x01
	TripleDES        CryptographicAlgorithm = 0x02
	AES              CryptographicAlgorithm = 0x03
	RSA              CryptographicAlgorithm = 0x04
	DSA              CryptographicAlgorithm = 0x05
	ECDSA            CryptographicAlgorithm = 0x06
	HMACSHA1         CryptographicAlgorithm = 0x07
	HMACSHA224       CryptographicAlgorithm = 0x08
	HMACSHA256       CryptographicAlgorithm = 0x09
	HMACSHA384       CryptographicAlgorithm = 0x0A
	HMACSHA512       CryptographicAlgorithm = 0x0B
	HMACMD5          CryptographicAlgorithm = 0x0C
	DH               CryptographicAlgorithm = 0x0D
	ECDH             CryptographicAlgorithm = 0x0E
	ECMQV            CryptographicAlgorithm = 0x0F
	Blowfish         CryptographicAlgorithm = 0x10
	Camellia         CryptographicAlgorithm = 0x11
	CAST5            CryptographicAlgorithm = 0x12
	IDEA             CryptographicAlgorithm = 0x13
	MARS             CryptographicAlgorithm = 0x14
	RC2              CryptographicAlgorithm = 0x15
	RC4              CryptographicAlgorithm = 0x16
	RC5              CryptographicAlgorithm = 0x17
	Skipjack         CryptographicAlgorithm = 0x18
	Twofish          CryptographicAlgorithm = 0x19
	EC               CryptographicAlgorithm = 0x1A
	OneTimePad       CryptographicAlgorithm = 0x1B
	ChaCha20         CryptographicAlgorithm = 0x1C
	Poly1305         CryptographicAlgorithm = 0x1D
	ChaCha20Poly1305 CryptographicAlgorithm = 0x1E
	ARIA             CryptographicAlgorithm = 0x29
	SEED             CryptographicAlgorithm = 0x2A
	SM4              CryptographicAlgorithm = 0x2D
	Ed25519          CryptographicAlgorithm = 0x37
	Ed448            CryptographicAlgorithm = 0x38
)

var algorithmNames = [...]string{
	DES:              "DES",
	TripleDES:        "3DES",
	AES:              "AES",
	RSA:              "RSA",
	DSA:              "DSA",
	ECDSA:            "ECDSA",
	HMACSHA1:         "HMAC-SHA1",
	HMACSHA224:       "HMAC-SHA224",
	HMACSHA256:       "HMAC-SHA256",
	HMACSHA384:       "HMAC-SHA384",
	HMACSHA512:       "HMAC-SHA512",
	HMACMD5:          "HMAC-MD5",
	DH:               "DH",
	ECDH:             "ECDH",
	ECMQV:            "ECMQV",
	Blowfish:         "Blowfish",
	Camellia:         "Camellia",
	CAST5:            "CAST5",
	IDEA:             "IDEA",
	MARS:             "MARS",
	RC2:              "RC2",
	RC4:              "RC4",
	RC5:              "RC5",
	Skipjack:         "Skipjack",
	Twofish:          "Twofish",
	EC:               "EC",
	OneTimePad:       "One Time Pad",
	ChaCha20:         "ChaCha20",
	Poly1305:         "Poly1305",
	ChaCha20Poly1305: "ChaCha20Poly1305",
	ARIA:             "ARIA",
	SEED:             "SEED",
	SM4:              "SM4",
	Ed25519:          "Ed25519",
	Ed448:            "Ed448",
}

// String is the algorithm's name in the specification: "AES", "3DES", "HMAC-SHA256".
func (a CryptographicAlgorithm) String() string { return name(algorithmNames[:], uint32(a)) }

// ParseAlgorithm finds an algorithm by its name, in any case and with "-", "_" or nothing between its words; "DESede"
// is 3DES, as in Castellan.
func ParseAlgorithm(text string) (CryptographicAlgorithm, bool) {
	if equalName(text, "DESede") {
		return TripleDES, true
	}
	for a, n := range algorithmNames {
		if n != "" && equalName(text, n) {
			return CryptographicAlgorithm(a), true
		}
	}
	return 0, false
}

// equalName compares letters and digits without regard to case, and passes over what stands between words.
func equalName(a, b string) bool { return strings.EqualFold(joined(a), joined(b)) }

func joined(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return r
	}, name)
}

// name is the name of an enumeration's value, or its number where it has none.
func name(names []string, v uint32) string {
	if int64(v) < int64(len(names)) && names[v] != "" {
		return names[v]
	}
	return fmt.Sprintf("0x%08X", v)
}
