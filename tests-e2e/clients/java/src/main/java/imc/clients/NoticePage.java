package imc.clients;

import java.util.List;

/** A page of notices of the Java version. */
public record NoticePage(Long total, List<Notice> pageInformationList) {}
