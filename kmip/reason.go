package kmip

import (
	"fmt"
	"slices"
)

// ResultReason says why an operation failed (section 9.1.3.2.29; KMIP 2.1 section 11.46). It is an error, so that a
// failure is told by errors.Is(err, kmip.ItemNotFound). A reason without a name here is kept by its number.
type ResultReason uint32

// The reasons of KMIP 1.0 to 2.1.
const (
	ItemNotFound                        ResultReason = 0x1
	ResponseTooLarge                    ResultReason = 0x2
	AuthenticationNotSuccessful         ResultReason = 0x3
	InvalidMessage                      ResultReason = 0x4
	OperationNotSupported               ResultReason = 0x5
	MissingData                         ResultReason = 0x6
	InvalidField                        ResultReason = 0x7
	FeatureNotSupported                 ResultReason = 0x8
	OperationCanceledByRequester        ResultReason = 0x9
	CryptographicFailure                ResultReason = 0xA
	IllegalOperation                    ResultReason = 0xB
	PermissionDenied                    ResultReason = 0xC
	ObjectArchived                      ResultReason = 0xD
	IndexOutOfBounds                    ResultReason = 0xE
	ApplicationNamespaceNotSupported    ResultReason = 0xF
	KeyFormatTypeNotSupported           ResultReason = 0x10
	KeyCompressionTypeNotSupported      ResultReason = 0x11
	EncodingOptionError                 ResultReason = 0x12
	KeyValueNotPresent                  ResultReason = 0x13
	AttestationRequired                 ResultReason = 0x14
	AttestationFailed                   ResultReason = 0x15
	Sensitive                           ResultReason = 0x16
	NotExtractable                      ResultReason = 0x17
	ObjectAlreadyExists                 ResultReason = 0x18
	InvalidTicket                       ResultReason = 0x19
	UsageLimitExceeded                  ResultReason = 0x1A
	NumericRange                        ResultReason = 0x1B
	InvalidDataType                     ResultReason = 0x1C
	ReadOnlyAttribute                   ResultReason = 0x1D
	MultiValuedAttribute                ResultReason = 0x1E
	UnsupportedAttribute                ResultReason = 0x1F
	AttributeInstanceNotFound           ResultReason = 0x20
	AttributeNotFound                   ResultReason = 0x21
	AttributeReadOnly                   ResultReason = 0x22
	AttributeSingleValued               ResultReason = 0x23
	BadCryptographicParameters          ResultReason = 0x24
	BadPassword                         ResultReason = 0x25
	CodecError                          ResultReason = 0x26
	IllegalObjectType                   ResultReason = 0x28
	IncompatibleCryptographicUsageMask  ResultReason = 0x29
	InternalServerError                 ResultReason = 0x2A
	InvalidAsynchronousCorrelationValue ResultReason = 0x2B
	InvalidAttribute                    ResultReason = 0x2C
	InvalidAttributeValue               ResultReason = 0x2D
	InvalidCorrelationValue             ResultReason = 0x2E
	InvalidCSR                          ResultReason = 0x2F
	InvalidObjectType                   ResultReason = 0x30
	KeyWrapTypeNotSupported             ResultReason = 0x32
	MissingInitializationVector         ResultReason = 0x34
	NonUniqueNameAttribute              ResultReason = 0x35
	ObjectDestroyed                     ResultReason = 0x36
	ObjectNotFound                      ResultReason = 0x37
	NotAuthorised                       ResultReason = 0x39
	ServerLimitExceeded                 ResultReason = 0x3A
	UnknownEnumeration                  ResultReason = 0x3B
	UnknownMessageExtension             ResultReason = 0x3C
	UnknownTag                          ResultReason = 0x3D
	UnsupportedCryptographicParameters  ResultReason = 0x3E
	UnsupportedProtocolVersion          ResultReason = 0x3F
	WrappingObjectArchived              ResultReason = 0x40
	WrappingObjectDestroyed             ResultReason = 0x41
	WrappingObjectNotFound              ResultReason = 0x42
	WrongKeyLifecycleState              ResultReason = 0x43
	ProtectionStorageUnavailable        ResultReason = 0x44
	PKCS11CodecError                    ResultReason = 0x45
	PKCS11InvalidFunction               ResultReason = 0x46
	PKCS11InvalidInterface              ResultReason = 0x47
	PrivateProtectionStorageUnavailable ResultReason = 0x48
	PublicProtectionStorageUnavailable  ResultReason = 0x49
	UnknownObjectGroup                  ResultReason = 0x4A
	ConstraintViolation                 ResultReason = 0x4B
	DuplicateProcessRequest             ResultReason = 0x4C
	GeneralFailure                      ResultReason = 0x100
)

var reasonNames = [...]string{
	ItemNotFound:                        "ItemNotFound",
	ResponseTooLarge:                    "ResponseTooLarge",
	AuthenticationNotSuccessful:         "AuthenticationNotSuccessful",
	InvalidMessage:                      "InvalidMessage",
	OperationNotSupported:               "OperationNotSupported",
	MissingData:                         "MissingData",
	InvalidField:                        "InvalidField",
	FeatureNotSupported:                 "FeatureNotSupported",
	OperationCanceledByRequester:        "OperationCanceledByRequester",
	CryptographicFailure:                "CryptographicFailure",
	IllegalOperation:                    "IllegalOperation",
	PermissionDenied:                    "PermissionDenied",
	ObjectArchived:                      "ObjectArchived",
	IndexOutOfBounds:                    "IndexOutOfBounds",
	ApplicationNamespaceNotSupported:    "ApplicationNamespaceNotSupported",
	KeyFormatTypeNotSupported:           "KeyFormatTypeNotSupported",
	KeyCompressionTypeNotSupported:      "KeyCompressionTypeNotSupported",
	EncodingOptionError:                 "EncodingOptionError",
	KeyValueNotPresent:                  "KeyValueNotPresent",
	AttestationRequired:                 "AttestationRequired",
	AttestationFailed:                   "AttestationFailed",
	Sensitive:                           "Sensitive",
	NotExtractable:                      "NotExtractable",
	ObjectAlreadyExists:                 "ObjectAlreadyExists",
	InvalidTicket:                       "InvalidTicket",
	UsageLimitExceeded:                  "UsageLimitExceeded",
	NumericRange:                        "NumericRange",
	InvalidDataType:                     "InvalidDataType",
	ReadOnlyAttribute:                   "ReadOnlyAttribute",
	MultiValuedAttribute:                "MultiValuedAttribute",
	UnsupportedAttribute:                "UnsupportedAttribute",
	AttributeInstanceNotFound:           "AttributeInstanceNotFound",
	AttributeNotFound:                   "AttributeNotFound",
	AttributeReadOnly:                   "AttributeReadOnly",
	AttributeSingleValued:               "AttributeSingleValued",
	BadCryptographicParameters:          "BadCryptographicParameters",
	BadPassword:                         "BadPassword",
	CodecError:                          "CodecError",
	IllegalObjectType:                   "IllegalObjectType",
	IncompatibleCryptographicUsageMask:  "IncompatibleCryptographicUsageMask",
	InternalServerError:                 "InternalServerError",
	InvalidAsynchronousCorrelationValue: "InvalidAsynchronousCorrelationValue",
	InvalidAttribute:                    "InvalidAttribute",
	InvalidAttributeValue:               "InvalidAttributeValue",
	InvalidCorrelationValue:             "InvalidCorrelationValue",
	InvalidCSR:                          "InvalidCSR",
	InvalidObjectType:                   "InvalidObjectType",
	KeyWrapTypeNotSupported:             "KeyWrapTypeNotSupported",
	MissingInitializationVector:         "MissingInitializationVector",
	NonUniqueNameAttribute:              "NonUniqueNameAttribute",
	ObjectDestroyed:                     "ObjectDestroyed",
	ObjectNotFound:                      "ObjectNotFound",
	NotAuthorised:                       "NotAuthorised",
	ServerLimitExceeded:                 "ServerLimitExceeded",
	UnknownEnumeration:                  "UnknownEnumeration",
	UnknownMessageExtension:             "UnknownMessageExtension",
	UnknownTag:                          "UnknownTag",
	UnsupportedCryptographicParameters:  "UnsupportedCryptographicParameters",
	UnsupportedProtocolVersion:          "UnsupportedProtocolVersion",
	WrappingObjectArchived:              "WrappingObjectArchived",
	WrappingObjectDestroyed:             "WrappingObjectDestroyed",
	WrappingObjectNotFound:              "WrappingObjectNotFound",
	WrongKeyLifecycleState:              "WrongKeyLifecycleState",
	ProtectionStorageUnavailable:        "ProtectionStorageUnavailable",
	PKCS11CodecError:                    "PKCS11CodecError",
	PKCS11InvalidFunction:               "PKCS11InvalidFunction",
	PKCS11InvalidInterface:              "PKCS11InvalidInterface",
	PrivateProtectionStorageUnavailable: "PrivateProtectionStorageUnavailable",
	PublicProtectionStorageUnavailable:  "PublicProtectionStorageUnavailable",
	UnknownObjectGroup:                  "UnknownObjectGroup",
	ConstraintViolation:                 "ConstraintViolation",
	DuplicateProcessRequest:             "DuplicateProcessRequest",
}

// String is the reason's name without spaces, as in "ItemNotFound", or its number in hexadecimal.
func (r ResultReason) String() string {
	switch r {
	case GeneralFailure:
		return "GeneralFailure"
	case IdentityUnavailable:
		return "IdentityUnavailable"
	}
	return name(reasonNames[:], uint32(r))
}

func (r ResultReason) Error() string { return "kmip: " + r.String() }

// ParseResultReason finds a reason by its name. A reason without a name has none to be found by.
func ParseResultReason(name string) (ResultReason, error) {
	if r := slices.Index(reasonNames[:], name); r >= 0 && name != "" {
		return ResultReason(r), nil
	}
	for _, r := range []ResultReason{GeneralFailure, IdentityUnavailable} {
		if r.String() == name {
			return r, nil
		}
	}
	return 0, fmt.Errorf("kmip: no result reason %q", name)
}

// ResultError is a failed operation, as the server tells it.
type ResultError struct {
	Operation Operation // 0 where the server refused the message as a whole
	Reason    ResultReason
	Message   string // the server's words, for people
}

func (e *ResultError) Error() string {
	text := e.Reason.Error()
	if e.Operation != 0 {
		text = "kmip: " + e.Operation.String() + ": " + e.Reason.String()
	}
	if e.Message != "" {
		text += fmt.Sprintf(" (%q)", firstLine(e.Message))
	}
	return text
}

// firstLine is as much of a text as fits a line.
func firstLine(text string) string {
	const line = 256 // bytes
	if len(text) <= line {
		return text
	}
	return text[:line] + "..."
}

// Unwrap gives the reason, for errors.Is.
func (e *ResultError) Unwrap() error { return e.Reason }
