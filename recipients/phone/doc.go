// Package phone is what products that write to a phone have in common: numbers in one form, and
// who agreed to be written to, when and how. A model of such a product embeds Contact and is
// registered by Register; recipients/sms and recipients/whatsapp are two.
//
// The form is E.164, such as +493012345678, so that equal numbers are equal texts. What a person
// types is read by the numbering plans of all countries (github.com/nyaruka/phonenumbers, a port
// of Google's libphonenumber); without a leading + it is a number of Config.DefaultRegion. What
// no message reaches is refused by name: an extension, a short code, a number too short or too
// long. The error suggests the number that was most likely meant, where there is one.
//
// Two recipients may have one number: a family has one phone.
package phone
