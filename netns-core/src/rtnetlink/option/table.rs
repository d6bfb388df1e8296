//! The table of options: one row an option.

/// Declares a structure of options, a row an option: what it is, its name, type and codec, the kernel's constant, and
/// where they differ from the name or are known, `alias`, `key` of JSON and `default`.
macro_rules! options {
    (
        $(#[$meta:meta])*
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty as $codec:ty = $constant:ident $number:literal
                $(alias $alias:literal)? $(name $word:literal)? $(key $key:literal)? $(default $default:literal)?;
            )*
        }
        $(and $extra:expr)?
    ) => {
        $(
            #[doc = concat!("`", stringify!($constant), "`: see [`", stringify!($name), "::", stringify!($field), "`].")]
            pub const $constant: u16 = $number;
        )*

        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!("`", stringify!($constant), "`", $(", by default ", stringify!($default),)? ".")]
                pub $field: Option<$type>,
            )*
        }

        impl $name {
            /// Its options, in the order of their attributes.
            pub const ROWS: &'static [$crate::option::OptionRow] = &[
                $(
                    $crate::option::OptionRow {
                        name: $crate::rtnetlink::option::table::first(&[$($word,)? stringify!($field)]),
                        alias: $crate::rtnetlink::option::table::optional(&[$($alias)?]),
                        key: $crate::rtnetlink::option::table::first(&[$($key,)? stringify!($field)]),
                        attribute: (stringify!($constant), $number),
                        form: <$codec as $crate::rtnetlink::option::codec::Codec<$type>>::FORM,
                        default: $crate::rtnetlink::option::table::optional(&[$($default)?]),
                        help: concat!($($doc),+),
                    },
                )*
            ];

            /// No option: the default, for constants.
            pub const NONE: Self = Self { $( $field: None, )* };

            /// The names of the attributes.
            pub(crate) const NAMES: &'static [$crate::wire::Name] =
                &[ $( $crate::wire::leaf($number, stringify!($constant)), )* $($extra)? ];

            /// Writes those that have a value, in the order of their attributes.
            pub fn write(&self, attributes: &mut $crate::wire::AttributeWriter<'_>) {
                // There are kinds without options.
                let _ = &attributes;
                $(
                    if let Some(value) = self.$field {
                        <$codec as $crate::rtnetlink::option::codec::Codec<$type>>::write(attributes, $number, value);
                    }
                )*
            }

            /// Reads those that the kernel describes.
            pub(crate) fn parse(attributes: $crate::wire::Attributes<'_>) -> Self {
                attributes.fold(Self::NONE, |options, attribute| {
                    $(
                        if attribute.kind == $number {
                            let $field = <$codec as $crate::rtnetlink::option::codec::Codec<$type>>::read(&attribute);
                            return Self { $field, ..options };
                        }
                    )*
                    let _ = attribute;
                    options
                })
            }
        }

        impl $crate::option::Options for $name {
            fn rows(&self) -> &'static [$crate::option::OptionRow] {
                Self::ROWS
            }

            fn get(&self, row: usize) -> Option<$crate::option::OptionValue> {
                let values: &[Option<$crate::option::OptionValue>] = &[
                    $( self.$field.map(<$codec as $crate::rtnetlink::option::codec::Codec<$type>>::value), )*
                ];
                values.get(row).copied().flatten()
            }

            fn set(&mut self, row: usize, value: $crate::option::OptionValue) -> bool {
                let Some(option) = Self::ROWS.get(row) else { return false };
                $(
                    if option.attribute.1 == $number {
                        let field = <$codec as $crate::rtnetlink::option::codec::Codec<$type>>::field(value);
                        self.$field = field.or(self.$field);
                        return field.is_some();
                    }
                )*
                let _ = (option, value);
                false
            }
        }
    };
}
pub(crate) use options;

/// The first of several words.
pub(crate) const fn first(words: &[&'static str]) -> &'static str {
    words[0]
}

/// What is there, if it is.
pub(crate) const fn optional<T: Copy>(values: &[T]) -> Option<T> {
    if values.is_empty() { None } else { Some(values[0]) }
}
