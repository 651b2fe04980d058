package ttlv

import "fmt"

// Tag names a field. The specification's own tags are 0x42XXXX; 0x54XXXX are extensions (KMIP 1.4 section 9.1.3.1).
type Tag uint32

// The tags that are read or written here, and those that a message shown by Dump is likely to hold.
const (
	TagActivationDate                 Tag = 0x420001
	TagApplicationData                Tag = 0x420002
	TagApplicationNamespace           Tag = 0x420003
	TagApplicationSpecificInformation Tag = 0x420004
	TagArchiveDate                    Tag = 0x420005
	TagAsynchronousCorrelationValue   Tag = 0x420006
	TagAsynchronousIndicator          Tag = 0x420007
	TagAttribute                      Tag = 0x420008
	TagAttributeIndex                 Tag = 0x420009
	TagAttributeName                  Tag = 0x42000A
	TagAttributeValue                 Tag = 0x42000B
	TagAuthentication                 Tag = 0x42000C
	TagBatchCount                     Tag = 0x42000D
	TagBatchErrorContinuationOption   Tag = 0x42000E
	TagBatchItem                      Tag = 0x42000F
	TagBatchOrderOption               Tag = 0x420010
	TagCertificate                    Tag = 0x420013
	TagCertificateIdentifier          Tag = 0x420014
	TagCertificateIssuer              Tag = 0x420015
	TagCertificateSubject             Tag = 0x42001A
	TagCertificateType                Tag = 0x42001D
	TagCertificateValue               Tag = 0x42001E
	TagCommonTemplateAttribute        Tag = 0x42001F
	TagCompromiseDate                 Tag = 0x420020
	TagCompromiseOccurrenceDate       Tag = 0x420021
	TagContactInformation             Tag = 0x420022
	TagCredential                     Tag = 0x420023
	TagCredentialType                 Tag = 0x420024
	TagCredentialValue                Tag = 0x420025
	TagCriticalityIndicator           Tag = 0x420026
	TagCryptographicAlgorithm         Tag = 0x420028
	TagCryptographicDomainParameters  Tag = 0x420029
	TagCryptographicLength            Tag = 0x42002A
	TagCryptographicParameters        Tag = 0x42002B
	TagCryptographicUsageMask         Tag = 0x42002C
	TagDeactivationDate               Tag = 0x42002F
	TagDestroyDate                    Tag = 0x420033
	TagDigest                         Tag = 0x420034
	TagDigestValue                    Tag = 0x420035
	TagHashingAlgorithm               Tag = 0x420038
	TagInitialDate                    Tag = 0x420039
	TagKey                            Tag = 0x42003F
	TagKeyBlock                       Tag = 0x420040
	TagKeyCompressionType             Tag = 0x420041
	TagKeyFormatType                  Tag = 0x420042
	TagKeyMaterial                    Tag = 0x420043
	TagKeyValue                       Tag = 0x420045
	TagKeyWrappingData                Tag = 0x420046
	TagKeyWrappingSpecification       Tag = 0x420047
	TagLastChangeDate                 Tag = 0x420048
	TagLeaseTime                      Tag = 0x420049
	TagLink                           Tag = 0x42004A
	TagLinkType                       Tag = 0x42004B
	TagLinkedObjectIdentifier         Tag = 0x42004C
	TagMaximumItems                   Tag = 0x42004F
	TagMaximumResponseSize            Tag = 0x420050
	TagMessageExtension               Tag = 0x420051
	TagName                           Tag = 0x420053
	TagNameType                       Tag = 0x420054
	TagNameValue                      Tag = 0x420055
	TagObjectGroup                    Tag = 0x420056
	TagObjectType                     Tag = 0x420057
	TagOpaqueDataType                 Tag = 0x420059
	TagOpaqueDataValue                Tag = 0x42005A
	TagOpaqueObject                   Tag = 0x42005B
	TagOperation                      Tag = 0x42005C
	TagOperationPolicyName            Tag = 0x42005D
	TagPrivateKey                     Tag = 0x420064
	TagPrivateKeyTemplateAttribute    Tag = 0x420065
	TagPrivateKeyUniqueIdentifier     Tag = 0x420066
	TagProcessStartDate               Tag = 0x420067
	TagProtectStopDate                Tag = 0x420068
	TagProtocolVersion                Tag = 0x420069
	TagProtocolVersionMajor           Tag = 0x42006A
	TagProtocolVersionMinor           Tag = 0x42006B
	TagPublicKey                      Tag = 0x42006D
	TagPublicKeyTemplateAttribute     Tag = 0x42006E
	TagPublicKeyUniqueIdentifier      Tag = 0x42006F
	TagQlength                        Tag = 0x420073
	TagQueryFunction                  Tag = 0x420074
	TagRecommendedCurve               Tag = 0x420075
	TagRequestHeader                  Tag = 0x420077
	TagRequestMessage                 Tag = 0x420078
	TagRequestPayload                 Tag = 0x420079
	TagResponseHeader                 Tag = 0x42007A
	TagResponseMessage                Tag = 0x42007B
	TagResponsePayload                Tag = 0x42007C
	TagResultMessage                  Tag = 0x42007D
	TagResultReason                   Tag = 0x42007E
	TagResultStatus                   Tag = 0x42007F
	TagRevocationMessage              Tag = 0x420080
	TagRevocationReason               Tag = 0x420081
	TagRevocationReasonCode           Tag = 0x420082
	TagKeyRoleType                    Tag = 0x420083
	TagSecretData                     Tag = 0x420085
	TagSecretDataType                 Tag = 0x420086
	TagServerInformation              Tag = 0x420088
	TagState                          Tag = 0x42008D
	TagStorageStatusMask              Tag = 0x42008E
	TagSymmetricKey                   Tag = 0x42008F
	TagTemplateAttribute              Tag = 0x420091
	TagTimeStamp                      Tag = 0x420092
	TagUniqueBatchItemID              Tag = 0x420093
	TagUniqueIdentifier               Tag = 0x420094
	TagUsageLimits                    Tag = 0x420095
	TagUsername                       Tag = 0x420099
	TagVendorExtension                Tag = 0x42009C
	TagVendorIdentification           Tag = 0x42009D
	TagPassword                       Tag = 0x4200A1
	TagDeviceIdentifier               Tag = 0x4200A2
	TagEncodingOption                 Tag = 0x4200A3
	TagExtensionInformation           Tag = 0x4200A4
	TagExtensionName                  Tag = 0x4200A5
	TagExtensionTag                   Tag = 0x4200A6
	TagExtensionType                  Tag = 0x4200A7
	TagFresh                          Tag = 0x4200A8
	TagMachineIdentifier              Tag = 0x4200A9
	TagMediaIdentifier                Tag = 0x4200AA
	TagNetworkIdentifier              Tag = 0x4200AB
	TagObjectGroupMember              Tag = 0x4200AC
	TagCertificateLength              Tag = 0x4200AD
	TagDigitalSignatureAlgorithm      Tag = 0x4200AE
	TagDeviceSerialNumber             Tag = 0x4200B0
	TagX509CertificateIdentifier      Tag = 0x4200B5
	TagX509CertificateIssuer          Tag = 0x4200B6
	TagX509CertificateSubject         Tag = 0x4200B7
	TagKeyValueLocation               Tag = 0x4200B8
	TagKeyValuePresent                Tag = 0x4200BB
	TagOriginalCreationDate           Tag = 0x4200BC
	TagAlternativeName                Tag = 0x4200BF
	TagAlternativeNameValue           Tag = 0x4200C0
	TagAlternativeNameType            Tag = 0x4200C1
	TagAttestationType                Tag = 0x4200C7
	TagOffsetItems                    Tag = 0x4200D4
	TagLocatedItems                   Tag = 0x4200D5
	TagRNGParameters                  Tag = 0x4200D9
	TagRNGAlgorithm                   Tag = 0x4200DA
	TagRandomNumberGenerator          Tag = 0x4200DE
	TagValidationInformation          Tag = 0x4200DF
	TagProfileInformation             Tag = 0x4200EB
	TagProfileName                    Tag = 0x4200EC
	TagStreamingCapability            Tag = 0x4200EF
	TagAsynchronousCapability         Tag = 0x4200F0
	TagAttestationCapability          Tag = 0x4200F1
	TagUnwrapMode                     Tag = 0x4200F2
	TagDestroyAction                  Tag = 0x4200F3
	TagShreddingAlgorithm             Tag = 0x4200F4
	TagRNGMode                        Tag = 0x4200F5
	TagClientRegistrationMethod       Tag = 0x4200F6
	TagCapabilityInformation          Tag = 0x4200F7
	TagKeyWrapType                    Tag = 0x4200F8
	TagBatchUndoCapability            Tag = 0x4200F9
	TagBatchContinueCapability        Tag = 0x4200FA
	TagPKCS12FriendlyName             Tag = 0x4200FB
	TagDescription                    Tag = 0x4200FC
	TagComment                        Tag = 0x4200FD
	TagClientCorrelationValue         Tag = 0x420105
	TagServerCorrelationValue         Tag = 0x420106
	TagSensitive                      Tag = 0x420120
	TagAlwaysSensitive                Tag = 0x420121
	TagExtractable                    Tag = 0x420122
	TagNeverExtractable               Tag = 0x420123
	TagAttributes                     Tag = 0x420125
	TagCommonAttributes               Tag = 0x420126
	TagPrivateKeyAttributes           Tag = 0x420127
	TagPublicKeyAttributes            Tag = 0x420128
	TagShortUniqueIdentifier          Tag = 0x420136
	TagNISTKeyType                    Tag = 0x42013A
	TagAttributeReference             Tag = 0x42013B
	TagCurrentAttribute               Tag = 0x42013C
	TagNewAttribute                   Tag = 0x42013D
	TagProtectionLevel                Tag = 0x420145
	TagProtectionPeriod               Tag = 0x420146
	TagQuantumSafe                    Tag = 0x420147
	TagProtectionStorageMask          Tag = 0x42015E
	TagProtectionStorageMasks         Tag = 0x42015F
)

// tagNames are the names of the specification, by the last two bytes of the tag.
var tagNames = [...]string{
	TagActivationDate - tagBase:                 "Activation Date",
	TagApplicationData - tagBase:                "Application Data",
	TagApplicationNamespace - tagBase:           "Application Namespace",
	TagApplicationSpecificInformation - tagBase: "Application Specific Information",
	TagArchiveDate - tagBase:                    "Archive Date",
	TagAsynchronousCorrelationValue - tagBase:   "Asynchronous Correlation Value",
	TagAsynchronousIndicator - tagBase:          "Asynchronous Indicator",
	TagAttribute - tagBase:                      "Attribute",
	TagAttributeIndex - tagBase:                 "Attribute Index",
	TagAttributeName - tagBase:                  "Attribute Name",
	TagAttributeValue - tagBase:                 "Attribute Value",
	TagAuthentication - tagBase:                 "Authentication",
	TagBatchCount - tagBase:                     "Batch Count",
	TagBatchErrorContinuationOption - tagBase:   "Batch Error Continuation Option",
	TagBatchItem - tagBase:                      "Batch Item",
	TagBatchOrderOption - tagBase:               "Batch Order Option",
	TagCertificate - tagBase:                    "Certificate",
	TagCertificateIdentifier - tagBase:          "Certificate Identifier",
	TagCertificateIssuer - tagBase:              "Certificate Issuer",
	TagCertificateSubject - tagBase:             "Certificate Subject",
	TagCertificateType - tagBase:                "Certificate Type",
	TagCertificateValue - tagBase:               "Certificate Value",
	TagCommonTemplateAttribute - tagBase:        "Common Template Attribute",
	TagCompromiseDate - tagBase:                 "Compromise Date",
	TagCompromiseOccurrenceDate - tagBase:       "Compromise Occurrence Date",
	TagContactInformation - tagBase:             "Contact Information",
	TagCredential - tagBase:                     "Credential",
	TagCredentialType - tagBase:                 "Credential Type",
	TagCredentialValue - tagBase:                "Credential Value",
	TagCriticalityIndicator - tagBase:           "Criticality Indicator",
	TagCryptographicAlgorithm - tagBase:         "Cryptographic Algorithm",
	TagCryptographicDomainParameters - tagBase:  "Cryptographic Domain Parameters",
	TagCryptographicLength - tagBase:            "Cryptographic Length",
	TagCryptographicParameters - tagBase:        "Cryptographic Parameters",
	TagCryptographicUsageMask - tagBase:         "Cryptographic Usage Mask",
	TagDeactivationDate - tagBase:               "Deactivation Date",
	TagDestroyDate - tagBase:                    "Destroy Date",
	TagDigest - tagBase:                         "Digest",
	TagDigestValue - tagBase:                    "Digest Value",
	TagHashingAlgorithm - tagBase:               "Hashing Algorithm",
	TagInitialDate - tagBase:                    "Initial Date",
	TagKey - tagBase:                            "Key",
	TagKeyBlock - tagBase:                       "Key Block",
	TagKeyCompressionType - tagBase:             "Key Compression Type",
	TagKeyFormatType - tagBase:                  "Key Format Type",
	TagKeyMaterial - tagBase:                    "Key Material",
	TagKeyValue - tagBase:                       "Key Value",
	TagKeyWrappingData - tagBase:                "Key Wrapping Data",
	TagKeyWrappingSpecification - tagBase:       "Key Wrapping Specification",
	TagLastChangeDate - tagBase:                 "Last Change Date",
	TagLeaseTime - tagBase:                      "Lease Time",
	TagLink - tagBase:                           "Link",
	TagLinkType - tagBase:                       "Link Type",
	TagLinkedObjectIdentifier - tagBase:         "Linked Object Identifier",
	TagMaximumItems - tagBase:                   "Maximum Items",
	TagMaximumResponseSize - tagBase:            "Maximum Response Size",
	TagMessageExtension - tagBase:               "Message Extension",
	TagName - tagBase:                           "Name",
	TagNameType - tagBase:                       "Name Type",
	TagNameValue - tagBase:                      "Name Value",
	TagObjectGroup - tagBase:                    "Object Group",
	TagObjectType - tagBase:                     "Object Type",
	TagOpaqueDataType - tagBase:                 "Opaque Data Type",
	TagOpaqueDataValue - tagBase:                "Opaque Data Value",
	TagOpaqueObject - tagBase:                   "Opaque Object",
	TagOperation - tagBase:                      "Operation",
	TagOperationPolicyName - tagBase:            "Operation Policy Name",
	TagPrivateKey - tagBase:                     "Private Key",
	TagPrivateKeyTemplateAttribute - tagBase:    "Private Key Template Attribute",
	TagPrivateKeyUniqueIdentifier - tagBase:     "Private Key Unique Identifier",
	TagProcessStartDate - tagBase:               "Process Start Date",
	TagProtectStopDate - tagBase:                "Protect Stop Date",
	TagProtocolVersion - tagBase:                "Protocol Version",
	TagProtocolVersionMajor - tagBase:           "Protocol Version Major",
	TagProtocolVersionMinor - tagBase:           "Protocol Version Minor",
	TagPublicKey - tagBase:                      "Public Key",
	TagPublicKeyTemplateAttribute - tagBase:     "Public Key Template Attribute",
	TagPublicKeyUniqueIdentifier - tagBase:      "Public Key Unique Identifier",
	TagQlength - tagBase:                        "Qlength",
	TagQueryFunction - tagBase:                  "Query Function",
	TagRecommendedCurve - tagBase:               "Recommended Curve",
	TagRequestHeader - tagBase:                  "Request Header",
	TagRequestMessage - tagBase:                 "Request Message",
	TagRequestPayload - tagBase:                 "Request Payload",
	TagResponseHeader - tagBase:                 "Response Header",
	TagResponseMessage - tagBase:                "Response Message",
	TagResponsePayload - tagBase:                "Response Payload",
	TagResultMessage - tagBase:                  "Result Message",
	TagResultReason - tagBase:                   "Result Reason",
	TagResultStatus - tagBase:                   "Result Status",
	TagRevocationMessage - tagBase:              "Revocation Message",
	TagRevocationReason - tagBase:               "Revocation Reason",
	TagRevocationReasonCode - tagBase:           "Revocation Reason Code",
	TagKeyRoleType - tagBase:                    "Key Role Type",
	TagSecretData - tagBase:                     "Secret Data",
	TagSecretDataType - tagBase:                 "Secret Data Type",
	TagServerInformation - tagBase:              "Server Information",
	TagState - tagBase:                          "State",
	TagStorageStatusMask - tagBase:              "Storage Status Mask",
	TagSymmetricKey - tagBase:                   "Symmetric Key",
	TagTemplateAttribute - tagBase:              "Template Attribute",
	TagTimeStamp - tagBase:                      "Time Stamp",
	TagUniqueBatchItemID - tagBase:              "Unique Batch Item ID",
	TagUniqueIdentifier - tagBase:               "Unique Identifier",
	TagUsageLimits - tagBase:                    "Usage Limits",
	TagUsername - tagBase:                       "Username",
	TagVendorExtension - tagBase:                "Vendor Extension",
	TagVendorIdentification - tagBase:           "Vendor Identification",
	TagPassword - tagBase:                       "Password",
	TagDeviceIdentifier - tagBase:               "Device Identifier",
	TagEncodingOption - tagBase:                 "Encoding Option",
	TagExtensionInformation - tagBase:           "Extension Information",
	TagExtensionName - tagBase:                  "Extension Name",
	TagExtensionTag - tagBase:                   "Extension Tag",
	TagExtensionType - tagBase:                  "Extension Type",
	TagFresh - tagBase:                          "Fresh",
	TagMachineIdentifier - tagBase:              "Machine Identifier",
	TagMediaIdentifier - tagBase:                "Media Identifier",
	TagNetworkIdentifier - tagBase:              "Network Identifier",
	TagObjectGroupMember - tagBase:              "Object Group Member",
	TagCertificateLength - tagBase:              "Certificate Length",
	TagDigitalSignatureAlgorithm - tagBase:      "Digital Signature Algorithm",
	TagDeviceSerialNumber - tagBase:             "Device Serial Number",
	TagX509CertificateIdentifier - tagBase:      "X.509 Certificate Identifier",
	TagX509CertificateIssuer - tagBase:          "X.509 Certificate Issuer",
	TagX509CertificateSubject - tagBase:         "X.509 Certificate Subject",
	TagKeyValueLocation - tagBase:               "Key Value Location",
	TagKeyValuePresent - tagBase:                "Key Value Present",
	TagOriginalCreationDate - tagBase:           "Original Creation Date",
	TagAlternativeName - tagBase:                "Alternative Name",
	TagAlternativeNameValue - tagBase:           "Alternative Name Value",
	TagAlternativeNameType - tagBase:            "Alternative Name Type",
	TagAttestationType - tagBase:                "Attestation Type",
	TagOffsetItems - tagBase:                    "Offset Items",
	TagLocatedItems - tagBase:                   "Located Items",
	TagRNGParameters - tagBase:                  "RNG Parameters",
	TagRNGAlgorithm - tagBase:                   "RNG Algorithm",
	TagRandomNumberGenerator - tagBase:          "Random Number Generator",
	TagValidationInformation - tagBase:          "Validation Information",
	TagProfileInformation - tagBase:             "Profile Information",
	TagProfileName - tagBase:                    "Profile Name",
	TagStreamingCapability - tagBase:            "Streaming Capability",
	TagAsynchronousCapability - tagBase:         "Asynchronous Capability",
	TagAttestationCapability - tagBase:          "Attestation Capability",
	TagUnwrapMode - tagBase:                     "Unwrap Mode",
	TagDestroyAction - tagBase:                  "Destroy Action",
	TagShreddingAlgorithm - tagBase:             "Shredding Algorithm",
	TagRNGMode - tagBase:                        "RNG Mode",
	TagClientRegistrationMethod - tagBase:       "Client Registration Method",
	TagCapabilityInformation - tagBase:          "Capability Information",
	TagKeyWrapType - tagBase:                    "Key Wrap Type",
	TagBatchUndoCapability - tagBase:            "Batch Undo Capability",
	TagBatchContinueCapability - tagBase:        "Batch Continue Capability",
	TagPKCS12FriendlyName - tagBase:             "PKCS#12 Friendly Name",
	TagDescription - tagBase:                    "Description",
	TagComment - tagBase:                        "Comment",
	TagClientCorrelationValue - tagBase:         "Client Correlation Value",
	TagServerCorrelationValue - tagBase:         "Server Correlation Value",
	TagSensitive - tagBase:                      "Sensitive",
	TagAlwaysSensitive - tagBase:                "Always Sensitive",
	TagExtractable - tagBase:                    "Extractable",
	TagNeverExtractable - tagBase:               "Never Extractable",
	TagAttributes - tagBase:                     "Attributes",
	TagCommonAttributes - tagBase:               "Common Attributes",
	TagPrivateKeyAttributes - tagBase:           "Private Key Attributes",
	TagPublicKeyAttributes - tagBase:            "Public Key Attributes",
	TagShortUniqueIdentifier - tagBase:          "Short Unique Identifier",
	TagNISTKeyType - tagBase:                    "NIST Key Type",
	TagAttributeReference - tagBase:             "Attribute Reference",
	TagCurrentAttribute - tagBase:               "Current Attribute",
	TagNewAttribute - tagBase:                   "New Attribute",
	TagProtectionLevel - tagBase:                "Protection Level",
	TagProtectionPeriod - tagBase:               "Protection Period",
	TagQuantumSafe - tagBase:                    "Quantum Safe",
	TagProtectionStorageMask - tagBase:          "Protection Storage Mask",
	TagProtectionStorageMasks - tagBase:         "Protection Storage Masks",
}

const tagBase Tag = 0x420000

// String is the tag's name in the specification, or its number where it has none here.
func (t Tag) String() string {
	if i := t - tagBase; i < Tag(len(tagNames)) && tagNames[i] != "" {
		return tagNames[i]
	}
	return fmt.Sprintf("tag 0x%06X", uint32(t))
}

// secret reports whether texts under this tag must not be shown: passwords, key material, and all that has no name here.
// Extensions, which carry the OpenStack credential and its tokens, have none.
func (t Tag) secret() bool {
	switch t {
	case TagPassword, TagKeyMaterial, TagKeyValue, TagCredentialValue:
		return true
	}
	i := t - tagBase
	return i >= Tag(len(tagNames)) || tagNames[i] == ""
}
