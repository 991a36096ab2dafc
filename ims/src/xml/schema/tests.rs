//! The validator on small schemas, one feature at a time.

use super::*;
use crate::xml::{guard, schemas};

fn schema(body: &str) -> Result<Schema, LoadError> {
    let text = format!(
        "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns='urn:t' xmlns:t='urn:t' \
         targetNamespace='urn:t' elementFormDefault='qualified'>{body}</xs:schema>"
    );
    Schema::load(&[Source {
        name: "t.xsd",
        text: &text,
    }])
}

fn verdict(schema: &Schema, document: &str) -> Result<(), String> {
    let document = guard::parse(document.as_bytes(), &guard::Limits::default()).unwrap();
    schema
        .validate(&document, Unknown::Allowed)
        .map_err(|invalid| invalid.to_string())
}

/// Each body of `<r xmlns='urn:t' xmlns:t='urn:t' xmlns:o='urn:o'>`, and whether it is valid.
fn table(body: &str, cases: &[(&str, bool)]) {
    let schema = schema(body).unwrap();
    for (inside, valid) in cases {
        let document = match inside.strip_prefix('@') {
            Some(attributes) => {
                format!("<r xmlns='urn:t' xmlns:t='urn:t' xmlns:o='urn:o' {attributes}/>")
            }
            None => format!(
                "<r xmlns='urn:t' xmlns:t='urn:t' xmlns:o='urn:o' \
                xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>{inside}</r>"
            ),
        };
        let verdict = verdict(&schema, &document);
        assert_eq!(verdict.is_ok(), *valid, "{inside}: {verdict:?}");
    }
}

#[test]
fn order_and_number_of_elements() {
    table(
        "<xs:element name='r'><xs:complexType><xs:sequence><xs:element name='a' type='xs:string'/>\
         <xs:choice minOccurs='0' maxOccurs='2'><xs:element name='b'/><xs:element name='c'/></xs:choice>\
         </xs:sequence></xs:complexType></xs:element>",
        &[
            ("<a/>", true),
            (" <a/> <!-- x --> <c/><b/> ", true),
            ("<a/><b/><b/><c/>", false),
            ("<b/><a/>", false),
            ("", false),
            ("text<a/>", false),
            ("<a/><o:x/>", false),
            ("<a xmlns=''/>", false),
            ("<a><b/></a>", false),
        ],
    );
}

#[test]
fn every_element_of_all_once_in_any_order() {
    table(
        "<xs:element name='r'><xs:complexType><xs:all><xs:element name='a'/><xs:element name='b' minOccurs='0'/>\
         </xs:all></xs:complexType></xs:element>",
        &[
            ("<a/>", true),
            ("<b/><a/>", true),
            ("<b/>", false),
            ("<a/><a/>", false),
            ("", false),
            ("<c/>", false),
        ],
    );
}

#[test]
fn wildcards_by_namespace_and_by_depth_of_checking() {
    let r = |any: &str| {
        format!(
            "<xs:element name='g' type='xs:boolean'/><xs:attribute name='h' type='xs:boolean'/>\
             <xs:element name='r'><xs:complexType><xs:sequence>{any}</xs:sequence>\
             <xs:anyAttribute namespace='##targetNamespace' processContents='strict'/></xs:complexType></xs:element>"
        )
    };
    table(
        &r("<xs:any namespace='##other' processContents='lax' maxOccurs='unbounded'/>"),
        &[
            ("<o:x y='1'><z/></o:x><o:x/>", true),
            ("<o:x><g>true</g></o:x>", true),
            ("<o:x><g>maybe</g></o:x>", false),
            ("<g>true</g>", false),
            ("<x xmlns=''/>", false),
        ],
    );
    table(
        &r("<xs:any namespace='##any' processContents='strict'/>"),
        &[("<g>1</g>", true), ("<o:x/>", false), ("<g>2</g>", false)],
    );
    table(
        &r("<xs:any namespace='##local urn:o' processContents='skip'/>"),
        &[
            ("<x xmlns=''/>", true),
            ("<o:x><t:g>maybe</t:g></o:x>", true),
            ("<g>1</g>", false),
        ],
    );
    table(
        &r("<xs:any minOccurs='0'/>"),
        &[
            ("@t:h='true'", true),
            ("@t:h='x'", false),
            ("@t:i='1'", false),
            ("@o:h='1'", false),
            ("@h='1'", false),
        ],
    );
}

#[test]
fn extension_restriction_and_substitution() {
    table(
        "<xs:complexType name='Base'><xs:sequence><xs:element name='a'/></xs:sequence>\
         <xs:attribute name='p' type='xs:int' use='required'/><xs:attribute name='q'/></xs:complexType>\
         <xs:complexType name='More'><xs:complexContent mixed='true'><xs:extension base='Base'><xs:sequence>\
         <xs:element name='b' minOccurs='0'/></xs:sequence><xs:attribute name='s' fixed='1'/></xs:extension>\
         </xs:complexContent></xs:complexType>\
         <xs:complexType name='Less'><xs:complexContent><xs:restriction base='Base'><xs:sequence>\
         <xs:element name='a'/></xs:sequence><xs:attribute name='q' use='prohibited'/></xs:restriction>\
         </xs:complexContent></xs:complexType>\
         <xs:element name='head' abstract='true' type='Base'/>\
         <xs:element name='more' type='More' substitutionGroup='head'/>\
         <xs:element name='less' type='Less' substitutionGroup='more'/>\
         <xs:element name='base' type='Base'/>\
         <xs:element name='r'><xs:complexType><xs:choice><xs:element ref='head'/><xs:element ref='base'/>\
         </xs:choice></xs:complexType></xs:element>",
        &[
            ("<more p='1' s='1'>text<a/><b/></more>", true),
            ("<more p='1' s='2'><a/></more>", false),
            ("<less p='1'><a/></less>", true),
            ("<less p='1' q=''><a/></less>", false),
            ("<less><a/></less>", false),
            ("<head p='1'><a/></head>", false),
            ("<base p='1' q=''><a/></base>", true),
            ("<base p='1'><a/><b/></base>", false),
            ("<base xsi:type='t:More' p='1'><a/><b/></base>", true),
            ("<base xsi:type='t:Nope' p='1'><a/></base>", false),
            ("<base xsi:type='n:More' p='1'><a/></base>", false),
            ("<base xsi:nil='true' p='1'><a/></base>", false),
            ("<more p='1' xsi:type='t:Base'><a/></more>", false),
        ],
    );
}

#[test]
fn simple_types_and_simple_content() {
    table(
        "<xs:import namespace='http://www.w3.org/XML/1998/namespace'/>\
         <xs:simpleType name='Grade'><xs:restriction base='xs:token'><xs:enumeration value='a b'/>\
         <xs:enumeration value='c'/></xs:restriction></xs:simpleType>\
         <xs:simpleType name='Either'><xs:union memberTypes='xs:int Grade'/></xs:simpleType>\
         <xs:complexType name='Named'><xs:simpleContent><xs:extension base='Either'>\
         <xs:attribute name='id' type='xs:ID'/><xs:attribute name='ref' type='xs:IDREF'/>\
         <xs:attribute name='q' type='xs:QName'/><xs:attribute ref='xml:lang'/></xs:extension></xs:simpleContent></xs:complexType>\
         <xs:element name='r'><xs:complexType><xs:sequence><xs:element name='n' type='Named' maxOccurs='9'/>\
         <xs:element name='d' type='xs:int' default='5' minOccurs='0'/></xs:sequence></xs:complexType></xs:element>",
        &[
            ("<n> a  b </n>", true),
            ("<n>4<!-- -->2</n>", true),
            ("<n>a</n>", false),
            ("<n/>", false),
            ("<n>1</n><d/>", true),
            ("<n>1</n><d> </d>", false),
            ("<n id='x'>1</n><n id='y' ref='x'>1</n>", true),
            ("<n id='x'>1</n><n id=' x '>1</n>", false),
            ("<n id='1'>1</n>", false),
            ("<n ref='x'>1</n>", false),
            ("<n q='t:x'>1</n>", true),
            ("<n q='n:x'>1</n>", false),
            ("<n xml:lang='en'>1</n>", true),
            ("<n xml:lang=''>1</n>", true),
            ("<n xml:lang='e_n'>1</n>", false),
        ],
    );
}

#[test]
fn a_document_included_without_namespace_adopts_that_of_each_includer() {
    let common = Source {
        name: "common.xsd",
        text: "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' elementFormDefault='qualified'>\
               <xs:complexType name='T'><xs:sequence><xs:element name='e' type='S'/></xs:sequence></xs:complexType>\
               <xs:simpleType name='S'><xs:restriction base='xs:int'/></xs:simpleType></xs:schema>",
    };
    let includer = |space: &str| {
        format!(
            "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns='{space}' targetNamespace='{space}'>\
             <xs:include schemaLocation='sub/common.xsd'/><xs:element name='r' type='T'/></xs:schema>"
        )
    };
    let (a, b) = (includer("urn:a"), includer("urn:b"));
    let sources = [
        Source {
            name: "a.xsd",
            text: &a,
        },
        common,
        Source {
            name: "b.xsd",
            text: &b,
        },
    ];
    let schema = Schema::load(&sources).unwrap();
    for space in ["urn:a", "urn:b"] {
        assert_eq!(
            verdict(&schema, &format!("<r xmlns='{space}'><e>1</e></r>")),
            Ok(())
        );
        assert!(verdict(&schema, &format!("<r xmlns='{space}'><e>x</e></r>")).is_err());
    }
    assert_eq!(
        schema
            .namespaces()
            .iter()
            .filter(|s| s.starts_with("urn:"))
            .count(),
        2
    );
}

#[test]
fn a_schema_is_refused_when_it_is_loaded_and_not_later() {
    for (case, body) in [
        ("unknown type", "<xs:element name='r' type='Nope'/>"),
        ("unbound prefix", "<xs:element name='r' type='n:T'/>"),
        (
            "unsupported type",
            "<xs:element name='r' type='xs:NOTATION'/>",
        ),
        (
            "unknown element",
            "<xs:complexType name='T'><xs:sequence><xs:element ref='n'/></xs:sequence></xs:complexType>",
        ),
        (
            "unknown attribute",
            "<xs:complexType name='T'><xs:attribute ref='n'/></xs:complexType>",
        ),
        (
            "unknown group",
            "<xs:complexType name='T'><xs:attributeGroup ref='n'/></xs:complexType>",
        ),
        (
            "twice the same",
            "<xs:element name='r'/><xs:element name='r'/>",
        ),
        (
            "derived from itself",
            "<xs:simpleType name='T'><xs:restriction base='T'/></xs:simpleType>",
        ),
        (
            "a circle of two",
            "<xs:simpleType name='A'><xs:restriction base='B'/></xs:simpleType>\
            <xs:simpleType name='B'><xs:restriction base='A'/></xs:simpleType>",
        ),
        (
            "a union of itself",
            "<xs:simpleType name='T'><xs:union memberTypes='T'/></xs:simpleType>",
        ),
        (
            "a group in itself",
            "<xs:group name='g'><xs:sequence><xs:group ref='g'/></xs:sequence></xs:group>\
            <xs:complexType name='T'><xs:group ref='g'/></xs:complexType>",
        ),
        (
            "an attribute group in itself",
            "<xs:attributeGroup name='g'><xs:attributeGroup ref='g'/></xs:attributeGroup>\
            <xs:complexType name='T'><xs:attributeGroup ref='g'/></xs:complexType>",
        ),
        (
            "identity constraints",
            "<xs:element name='r'><xs:key name='k'/></xs:element>",
        ),
        (
            "lists",
            "<xs:simpleType name='T'><xs:list itemType='xs:int'/></xs:simpleType>",
        ),
        (
            "a broken pattern",
            "<xs:simpleType name='T'><xs:restriction base='xs:string'><xs:pattern value='('/>\
            </xs:restriction></xs:simpleType>",
        ),
        (
            "a bound that is no number",
            "<xs:simpleType name='T'><xs:restriction base='xs:int'>\
            <xs:minInclusive value='x'/></xs:restriction></xs:simpleType>",
        ),
        (
            "occurrences backwards",
            "<xs:complexType name='T'><xs:sequence minOccurs='2'><xs:any/></xs:sequence></xs:complexType>",
        ),
        ("redefinition", "<xs:redefine schemaLocation='x'/>"),
        (
            "inclusion of nothing",
            "<xs:include schemaLocation='x.xsd'/>",
        ),
    ] {
        let error = schema(body).err();
        assert!(error.is_some(), "{case}");
        assert!(
            error.is_some_and(|e| e.source == "t.xsd" && e.to_string().len() < 300),
            "{case}"
        );
    }
    assert!(
        Schema::load(&[Source {
            name: "x",
            text: "<a/>"
        }])
        .is_err()
    );
    assert!(
        Schema::load(&[Source {
            name: "x",
            text: "<a"
        }])
        .is_err()
    );
}

#[test]
fn a_fault_names_its_place() {
    let schema = Schema::load(&schemas::PRESENCE_RULES).unwrap();
    let document = "<ruleset xmlns='urn:ietf:params:xml:ns:common-policy'>\n  <rule id='a'/>\n  <rule id='b'>\n    \
                    <actions/>\n    <conditions/>\n  </rule>\n</ruleset>";
    assert_eq!(
        verdict(&schema, document),
        Err(
            "/ruleset/rule[2]/conditions: element conditions is not allowed here, \
             expected transformations (line 5, column 5)"
                .to_owned()
        )
    );
}

#[test]
fn names_that_a_known_namespace_lacks_are_refused_for_xcap_only() {
    let schema = Schema::load(&schemas::PRESENCE_RULES).unwrap();
    let rule = |action: &str| {
        format!(
            "<ruleset xmlns='urn:ietf:params:xml:ns:common-policy' xmlns:pr='urn:ietf:params:xml:ns:pres-rules' \
             xmlns:x='urn:x'><rule id='a'><actions>{action}</actions></rule></ruleset>"
        )
    };
    for (action, refused) in [
        ("<pr:sub-handling>allow</pr:sub-handling>", false),
        ("<pr:new-handling>allow</pr:new-handling>", true),
        ("<x:handling/>", false),
        ("<x:handling><pr:new-handling/></x:handling>", true),
        ("<x:handling><rule/></x:handling>", false),
        ("<x:handling pr:a='1'/>", true),
    ] {
        let text = rule(action);
        let document = guard::parse(text.as_bytes(), &guard::Limits::default()).unwrap();
        assert_eq!(
            schema.validate(&document, Unknown::Allowed),
            Ok(()),
            "{action}"
        );
        let strict = schema.validate(&document, Unknown::RefusedInKnownNamespaces);
        assert_eq!(strict.is_err(), refused, "{action}: {strict:?}");
    }
}
